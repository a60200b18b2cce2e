package cluster

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A cluster with real pods has one cable to the machine: a veth pair with a network of four addresses. The machine's
// end reaches API, pods and Services through it; pods reach servers that tests run at the machine's end of it.
// Nothing listens in the machine's own network.

func outerDevice(state *State) string { return fmt.Sprintf("gitops%dh", state.Slot) }
func innerDevice(state *State) string { return fmt.Sprintf("gitops%dn", state.Slot) }

func hostAddress(slot int) string  { return fmt.Sprintf("10.99.%d.1", slot) }
func nodeAddress(slot int) string  { return fmt.Sprintf("10.99.%d.2", slot) }
func podRange(state *State) string { return fmt.Sprintf("10.244.%d.0/24", state.Slot) }

// connect lays the cable from the machine to the box, and the routes to what is behind it.
func connect(state *State, box int) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name = outerDevice(state)
	cable := &netlink.Veth{LinkAttrs: attributes, PeerName: innerDevice(state), PeerNamespace: netlink.NsPid(box)}
	if err := netlink.LinkAdd(cable); err != nil {
		return fmt.Errorf("make network device %s: %w", attributes.Name, err)
	}
	link, err := assign(attributes.Name, state.HostAddress)
	if err != nil {
		return err
	}
	for _, cidr := range []string{podRange(state), serviceRange(state)} {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			return err
		}
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: network, Gw: net.ParseIP(state.APIAddress)}
		if err := netlink.RouteAdd(route); err != nil {
			return fmt.Errorf("route %s to %s: %w", cidr, attributes.Name, err)
		}
	}
	return nil
}

// configureInside is the box's end of connect.
func configureInside(state *State) error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	link, err := assign(innerDevice(state), state.APIAddress)
	if err != nil {
		return err
	}
	// The kubelet wants a default route, though nothing is forwarded beyond the machine.
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(state.HostAddress)}
	if err := netlink.RouteAdd(route); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}
	if err := setting("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	// Half-closed connections of pods would keep a dead network namespace, and its device, for a minute.
	return setting("net/ipv4/tcp_orphan_retries", "1")
}

func assign(device, address string) (netlink.Link, error) {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("find network device %s: %w", device, err)
	}
	ip := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(address), Mask: net.CIDRMask(30, 32)}}
	if err := netlink.AddrAdd(link, ip); err != nil {
		return nil, fmt.Errorf("give %s the address %s: %w", device, address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("set %s up: %w", device, err)
	}
	return link, nil
}

// disconnect removes the cable; a network namespace that is about to go can hold on to it for a while.
func disconnect(state *State) error {
	link, err := netlink.LinkByName(outerDevice(state))
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			return nil
		}
		return fmt.Errorf("find network device %s: %w", outerDevice(state), err)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove network device %s: %w", outerDevice(state), err)
	}
	return nil
}
