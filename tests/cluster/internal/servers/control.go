package servers

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// control counts requests and plays outages. Its endpoints, NAME being a repository (without .git), `charts`, `oci`,
// or `*` for all of them:
//
//	GET    /control/requests             {"NAME": {"info/refs git-upload-pack": 3, …}, …}
//	DELETE /control/requests             counts from zero
//	PUT    /control/outage/NAME?status=503   answers with the status, from now on (ssh: an error)
//	PUT    /control/outage/NAME?hang=true    does not answer until the outage ends
//	DELETE /control/outage/NAME          ends the outage
type control struct {
	mutex    sync.Mutex
	requests map[string]map[string]int
	outages  map[string]*outage
}

type outage struct {
	status int
	over   chan struct{} // nil: answer with status at once
}

func newControl() *control {
	return &control{requests: map[string]map[string]int{}, outages: map[string]*outage{}}
}

// enter counts a request and returns the status of an outage, or 0. It waits while the outage says so.
func (c *control) enter(name, operation string, done <-chan struct{}) int {
	c.mutex.Lock()
	if c.requests[name] == nil {
		c.requests[name] = map[string]int{}
	}
	c.requests[name][operation]++
	current := c.outages[name]
	if current == nil {
		current = c.outages["*"]
	}
	c.mutex.Unlock()
	switch {
	case current == nil:
		return 0
	case current.over == nil:
		return current.status
	}
	select {
	case <-current.over:
		return 0
	case <-done:
		return http.StatusServiceUnavailable
	}
}

// gate lets requests pass to next unless there is an outage.
func (c *control) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, operation := subject(r)
		if status := c.enter(name, operation, r.Context().Done()); status != 0 {
			http.Error(w, "outage, as asked by the test", status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// subject names what a request is about, and what it does with it.
func subject(r *http.Request) (name, operation string) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/git/"); ok {
		name, operation, _ = strings.Cut(rest, ".git/")
		if service := r.URL.Query().Get("service"); service != "" {
			operation += " " + service
		}
		return name, operation
	}
	if strings.HasPrefix(r.URL.Path, "/charts/") {
		return "charts", r.Method
	}
	return "oci", r.Method
}

func (c *control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/control/")
	name, isOutage := strings.CutPrefix(path, "outage/")
	switch {
	case path == "requests" && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(c.requests)
		return
	case path == "requests" && r.Method == http.MethodDelete:
		clear(c.requests)
	case isOutage && r.Method == http.MethodPut:
		c.end(name)
		next := &outage{status: http.StatusServiceUnavailable}
		if text := r.URL.Query().Get("status"); text != "" {
			status, err := strconv.Atoi(text)
			if err != nil || status < 400 || status > 599 {
				http.Error(w, "status: want 400 to 599", http.StatusBadRequest)
				return
			}
			next.status = status
		}
		if r.URL.Query().Get("hang") == "true" {
			next.over = make(chan struct{})
		}
		c.outages[name] = next
	case isOutage && r.Method == http.MethodDelete:
		c.end(name)
	default:
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (c *control) end(name string) {
	if current := c.outages[name]; current != nil && current.over != nil {
		close(current.over)
	}
	delete(c.outages, name)
}
