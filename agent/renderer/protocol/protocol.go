// Package protocol is the conversation between the agent and this process: frames on standard input and output, each a
// JSON header and raw bytes. The agent sends one job at a time; while it is worked on this side asks for files and
// folders by name, since it has no files of its own, and sends every object as soon as it is known.
package protocol

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Version is raised with every change the other side must know about.
const Version = 3

// maxHeader bounds what this side accepts as a header (a job with inline values), in bytes.
const maxHeader = 16 << 20

// Connection carries frames: four bytes header length, four bytes body length (both big endian), header, body.
type Connection struct {
	in  *bufio.Reader
	out *bufio.Writer
}

// NewConnection wraps the two ends.
func NewConnection(in io.Reader, out io.Writer) *Connection {
	return &Connection{in: bufio.NewReaderSize(in, 64<<10), out: bufio.NewWriterSize(out, 64<<10)}
}

// Receive reads one frame; io.EOF at a frame's boundary means the agent is done with this process.
func (c *Connection) Receive(header any) ([]byte, error) {
	var lengths [8]byte
	if _, err := io.ReadFull(c.in, lengths[:]); err != nil {
		return nil, err
	}
	headerLength := binary.BigEndian.Uint32(lengths[:4])
	if headerLength > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes is more than the %d allowed", headerLength, maxHeader)
	}
	raw := make([]byte, headerLength)
	if _, err := io.ReadFull(c.in, raw); err != nil {
		return nil, fmt.Errorf("reading a header: %w", err)
	}
	if err := json.Unmarshal(raw, header); err != nil {
		return nil, fmt.Errorf("reading a header: %w", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(lengths[4:]))
	if _, err := io.ReadFull(c.in, body); err != nil {
		return nil, fmt.Errorf("reading a body: %w", err)
	}
	return body, nil
}

// Send queues one frame; Flush puts it on the wire.
func (c *Connection) Send(header any, body []byte) error {
	raw, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("writing a header: %w", err)
	}
	var lengths [8]byte
	binary.BigEndian.PutUint32(lengths[:4], uint32(len(raw)))
	binary.BigEndian.PutUint32(lengths[4:], uint32(len(body)))
	for _, part := range [][]byte{lengths[:], raw, body} {
		if _, err := c.out.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// Flush puts everything queued on the wire.
func (c *Connection) Flush() error { return c.out.Flush() }
