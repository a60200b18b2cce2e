package servers

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// deployKey is the extension that holds the deploy key somebody came with.
const deployKey = "deploy-key"

// sshServer runs git-upload-pack and git-receive-pack for the holder of one key, and for those of deploy keys on their
// repository, and nothing else for anybody. A repository is NAME.git or, as on the other servers, git/NAME.git.
type sshServer struct {
	listener   net.Listener
	config     *ssh.ServerConfig
	root       string
	control    *control
	forge      *forge
	clientKey  string
	knownHosts string
}

func listenSSH(options Options, root string, control *control, forge *forge) (*sshServer, error) {
	server := &sshServer{
		root: root, control: control, forge: forge,
		clientKey:  filepath.Join(options.Folder, "id_ed25519"),
		knownHosts: filepath.Join(options.Folder, "known_hosts"),
	}
	host, _, err := newKey()
	if err != nil {
		return nil, err
	}
	client, private, err := newKey()
	if err != nil {
		return nil, err
	}
	server.config = &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			if string(offered.Marshal()) == string(client.PublicKey().Marshal()) {
				return nil, nil
			}
			line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(offered)))
			if !forge.knows(line) {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{Extensions: map[string]string{deployKey: line}}, nil
		},
	}
	server.config.AddHostKey(host)
	if server.listener, err = net.Listen("tcp", net.JoinHostPort(options.Host, "0")); err != nil {
		return nil, fmt.Errorf("--host %s: %w", options.Host, err)
	}
	address, port, err := net.SplitHostPort(server.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	line := fmt.Sprintf("[%s]:%s %s", address, port, ssh.MarshalAuthorizedKey(host.PublicKey()))
	if err := os.WriteFile(server.knownHosts, []byte(line), 0o644); err != nil {
		return nil, err
	}
	// An earlier run's key may be read-only for a Git client's sake: replace, never overwrite.
	if err := os.Remove(server.clientKey); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return server, os.WriteFile(server.clientKey, private, 0o600)
}

func newKey() (ssh.Signer, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make an ssh key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make an ssh key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(key, "gitops-test")
	if err != nil {
		return nil, nil, fmt.Errorf("encode an ssh key: %w", err)
	}
	return signer, pem.EncodeToMemory(block), nil
}

func (s *sshServer) serve() error {
	for {
		connection, err := s.listener.Accept()
		if err != nil {
			return err
		}
		go s.handle(connection)
	}
}

func (s *sshServer) handle(connection net.Conn) {
	defer connection.Close()
	person, channels, requests, err := ssh.NewServerConn(connection, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	key := ""
	if person.Permissions != nil {
		key = person.Permissions.Extensions[deployKey]
	}
	for incoming := range channels {
		if incoming.ChannelType() != "session" {
			_ = incoming.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := incoming.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests, key)
	}
}

func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request, key string) {
	defer channel.Close()
	variables := gitSettings()
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			if ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL" {
				variables = append(variables, "GIT_PROTOCOL="+variable.Value)
			}
			_ = request.Reply(true, nil)
		case "exec":
			var command struct{ Line string }
			err := ssh.Unmarshal(request.Payload, &command)
			_ = request.Reply(err == nil, nil)
			if err == nil {
				err = s.git(channel, command.Line, key, variables)
			}
			status := struct{ Code uint32 }{}
			if err != nil {
				fmt.Fprintln(channel.Stderr(), err)
				status.Code = 128
			}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
			return
		default:
			_ = request.Reply(false, nil)
		}
	}
}

// git runs a line as Git sends it: a program's name and a quoted path.
func (s *sshServer) git(channel ssh.Channel, line, key string, variables []string) error {
	program, argument, _ := strings.Cut(line, " ")
	service, ok := strings.CutPrefix(program, "git-")
	if !ok || (service != "upload-pack" && service != "receive-pack") {
		return fmt.Errorf("not allowed: %s", program)
	}
	path := filepath.Clean("/" + strings.Trim(argument, "'"))
	if rest, ok := strings.CutPrefix(path, "/git/"); ok {
		path = "/" + rest
	}
	name := strings.TrimSuffix(path[1:], ".git")
	if key != "" && !s.forge.allows(name, key, service == "receive-pack") {
		return fmt.Errorf("this deploy key may not %s %s", service, name)
	}
	if status := s.control.enter(name, "ssh "+program, nil); status != 0 {
		return errors.New("outage, as asked by the test")
	}
	command := exec.Command("git", service, filepath.Join(s.root, path))
	command.Env = append(os.Environ(), variables...)
	command.Stdout, command.Stderr = channel, channel.Stderr()
	input, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start git %s: %w", service, err)
	}
	go func() {
		_, _ = io.Copy(input, channel)
		_ = input.Close()
	}()
	return command.Wait()
}
