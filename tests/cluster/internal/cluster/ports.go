package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are chosen below the range that Linux takes the ports of outgoing connections from, so that no client on the
// machine is given one between its choice and its use.
const (
	lowestPort  = 20000
	highestPort = 32000
)

// freePorts returns ports of 127.0.0.1 on which nothing listens.
func freePorts(count int) ([]int, error) {
	var found []int
	var held []net.Listener
	defer func() {
		for _, listener := range held {
			_ = listener.Close()
		}
	}()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		held = append(held, listener)
		if found = append(found, port); len(found) == count {
			return found, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d on 127.0.0.1", count, lowestPort, highestPort)
}
