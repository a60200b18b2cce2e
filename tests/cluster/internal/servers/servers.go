// Package servers is what the agent pulls from in tests: Git over HTTP, HTTPS and ssh, a Helm chart repository and an
// OCI registry, each with and without credentials; and a double of a forge's API. The Git side is Git itself (git-http-backend, git-upload-pack); the
// package only carries bytes to it. Its credentials are fixed and worthless.
package servers

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/pki"
)

// What the private addresses ask for.
const (
	Username = "git"
	Password = "s3cret"
	Token    = "tok3n"
)

// Options say where to serve what.
type Options struct {
	// Folder has git/*.git and charts/; both are made when missing. Keys and servers.json are written to it.
	Folder string
	// Host is the address to listen on.
	Host string
	// Out receives one line of JSON, an Addresses, once all servers listen.
	Out io.Writer
}

// Addresses is what a test needs to know. The private ones want Username and Password, or Token as a bearer token.
type Addresses struct {
	Git           string `json:"git"`           // http://…/git: append /NAME.git
	GitPrivate    string `json:"gitPrivate"`    // http://…/private/git
	GitTLS        string `json:"gitTls"`        // https://…/git, certified by CA
	GitTLSPrivate string `json:"gitTlsPrivate"` // https://…/private/git
	GitSSH        string `json:"gitSsh"`        // ssh://git@…: append /NAME.git
	Charts        string `json:"charts"`
	ChartsPrivate string `json:"chartsPrivate"`
	ChartsTLS     string `json:"chartsTls"`
	OCI           string `json:"oci"`        // HOST:PORT, plain HTTP
	OCITLS        string `json:"ociTls"`     // HOST:PORT, HTTPS
	OCIPrivate    string `json:"ociPrivate"` // HOST:PORT, plain HTTP; the same content as OCI
	Control       string `json:"control"`    // see control.go
	Username      string `json:"username"`
	Password      string `json:"password"`
	Token         string `json:"token"`
	CA            string `json:"ca"`         // file
	ClientKey     string `json:"clientKey"`  // file
	KnownHosts    string `json:"knownHosts"` // file
	GitRoot       string `json:"gitRoot"`    // folder
	ChartsRoot    string `json:"chartsRoot"` // folder
}

// Run serves until the context ends.
func Run(ctx context.Context, options Options) error {
	gitRoot, chartsRoot := filepath.Join(options.Folder, "git"), filepath.Join(options.Folder, "charts")
	for _, folder := range []string{gitRoot, chartsRoot} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("--dir: %w", err)
		}
	}
	backend, err := httpBackend(ctx)
	if err != nil {
		return err
	}
	control := newControl()
	git := gitHandler(backend, gitRoot, "/git")
	charts := http.StripPrefix("/charts/", http.FileServer(http.Dir(chartsRoot)))
	mux := http.NewServeMux()
	mux.Handle("/git/", control.gate(git))
	mux.Handle("/private/git/", authenticated(http.StripPrefix("/private", control.gate(git))))
	mux.Handle("/charts/", control.gate(charts))
	mux.Handle("/private/charts/", authenticated(http.StripPrefix("/private", control.gate(charts))))
	oci := control.gate(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	mux.Handle("/v2/", oci)
	forge := newForge(gitRoot)
	mux.Handle("/api/v1/", forge.handler())
	mux.Handle("/control/forge/", forge.handler())
	mux.Handle("/control/", control)

	plain, err := net.Listen("tcp", net.JoinHostPort(options.Host, "0"))
	if err != nil {
		return fmt.Errorf("--host %s: %w", options.Host, err)
	}
	private, err := net.Listen("tcp", net.JoinHostPort(options.Host, "0"))
	if err != nil {
		return fmt.Errorf("--host %s: %w", options.Host, err)
	}
	secure, ca, err := listenTLS(options)
	if err != nil {
		return err
	}
	shell, err := listenSSH(options, gitRoot, control, forge)
	if err != nil {
		return err
	}
	http, https := "http://"+plain.Addr().String(), "https://"+secure.Addr().String()
	forge.address = http
	server, registryOnly := newServer(mux), newServer(authenticated(oci))
	failed := make(chan error, 4)
	go func() { failed <- server.Serve(plain) }()
	go func() { failed <- registryOnly.Serve(private) }()
	go func() { failed <- server.Serve(secure) }()
	go func() { failed <- shell.serve() }()

	addresses := Addresses{
		Git: http + "/git", GitPrivate: http + "/private/git",
		GitTLS: https + "/git", GitTLSPrivate: https + "/private/git",
		GitSSH: "ssh://git@" + shell.listener.Addr().String(),
		Charts: http + "/charts", ChartsPrivate: http + "/private/charts", ChartsTLS: https + "/charts",
		OCI: plain.Addr().String(), OCITLS: secure.Addr().String(), OCIPrivate: private.Addr().String(),
		Control: http + "/control", Username: Username, Password: Password, Token: Token,
		CA: ca, ClientKey: shell.clientKey, KnownHosts: shell.knownHosts, GitRoot: gitRoot, ChartsRoot: chartsRoot,
	}
	if err := announce(options, addresses); err != nil {
		return err
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = nil
	}
	return errors.Join(err, server.Close(), registryOnly.Close(), shell.listener.Close())
}

func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
}

func announce(options Options, addresses Addresses) error {
	line, err := json.Marshal(addresses)
	if err != nil {
		return fmt.Errorf("encode the addresses: %w", err)
	}
	file := filepath.Join(options.Folder, "servers.json")
	if err := os.WriteFile(file+".new", append(line, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	_, err = fmt.Fprintln(options.Out, string(line))
	return err
}

// listenTLS uses an authority that no machine trusts; its certificate is written for those who are told to.
func listenTLS(options Options) (net.Listener, string, error) {
	authority, err := pki.NewAuthority("gitops-test-servers-ca")
	if err != nil {
		return nil, "", err
	}
	pair, err := authority.Server("gitops-test-servers", "localhost", "127.0.0.1", options.Host)
	if err != nil {
		return nil, "", err
	}
	file := filepath.Join(options.Folder, "ca.pem")
	if err := os.WriteFile(file, authority.Certificate, 0o644); err != nil {
		return nil, "", err
	}
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	if err != nil {
		return nil, "", fmt.Errorf("load the certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	listener, err := tls.Listen("tcp", net.JoinHostPort(options.Host, "0"), config)
	return listener, file, err
}

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if (user == Username && password == Password) || bearer == Token {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="gitops-test"`)
		http.Error(w, "wrong or missing credentials", http.StatusUnauthorized)
	})
}

func httpBackend(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("git --exec-path: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(output)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return "", fmt.Errorf("this Git has no HTTP server: %w", err)
	}
	return backend, nil
}

// gitSettings lets every repository be read and written, by any commit id, whoever owns its files.
func gitSettings() []string {
	settings := [][2]string{
		{"http.receivepack", "true"},
		{"uploadpack.allowAnySHA1InWant", "true"},
		{"uploadpack.allowFilter", "true"},
		{"safe.directory", "*"},
	}
	variables := []string{"GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings)), "GIT_HTTP_EXPORT_ALL=1"}
	for index, setting := range settings {
		variables = append(variables,
			fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", index, setting[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", index, setting[1]))
	}
	return variables
}
