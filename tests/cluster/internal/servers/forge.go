package servers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// forge is a double of the part of Gitea's API (/api/v1) that opens pull requests and registers deploy keys. The
// repositories are those of the Git server: http://HOST/git/NAME.git is owner `git`, repository NAME (or owner
// `private/git`, for those who have credentials), and branches are looked up in them. Who asks must send Token.
// GET /control/forge/NAME tells what was asked about a repository. Lists have one page.
type forge struct {
	mutex        sync.Mutex
	root         string
	address      string
	repositories map[string]*forgeRepository
}

type forgeRepository struct {
	Requests []forgeRequest `json:"requests"`
	Pulls    []forgePull    `json:"pulls"`
	Keys     []forgeKey     `json:"keys"`
}

type forgeRequest struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"`
}

type forgePull struct {
	Number  int         `json:"number"`
	Title   string      `json:"title"`
	Body    string      `json:"body"`
	State   string      `json:"state"`
	HTMLURL string      `json:"html_url"`
	Head    forgeBranch `json:"head"`
	Base    forgeBranch `json:"base"`
}

type forgeBranch struct {
	Ref string `json:"ref"`
	SHA string `json:"sha"`
}

type forgeKey struct {
	ID       int    `json:"id"`
	Title    string `json:"title"`
	Key      string `json:"key"`
	ReadOnly bool   `json:"read_only"`
}

func newForge(root string) *forge {
	return &forge{root: root, repositories: map[string]*forgeRepository{}}
}

func (f *forge) handler() http.Handler {
	mux := http.NewServeMux()
	for _, owner := range []string{"git", "private/git"} {
		repository := "/api/v1/repos/" + owner + "/{name}"
		mux.HandleFunc("GET "+repository, f.known(f.describe))
		mux.HandleFunc("GET "+repository+"/branches/{branch}", f.known(f.branch))
		mux.HandleFunc("GET "+repository+"/pulls", f.known(f.pulls))
		mux.HandleFunc("POST "+repository+"/pulls", f.known(f.open))
		mux.HandleFunc("PATCH "+repository+"/pulls/{number}", f.known(f.change))
		mux.HandleFunc("GET "+repository+"/keys", f.known(f.keys))
		mux.HandleFunc("POST "+repository+"/keys", f.known(f.register))
		mux.HandleFunc("DELETE "+repository+"/keys/{id}", f.known(f.forget))
	}
	mux.HandleFunc("GET /api/v1/version", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"version": "1.24.6"})
	})
	mux.HandleFunc("GET /control/forge/{name}", func(w http.ResponseWriter, r *http.Request) {
		f.mutex.Lock()
		defer f.mutex.Unlock()
		found := f.repositories[r.PathValue("name")]
		if found == nil {
			found = &forgeRepository{}
		}
		reply(w, http.StatusOK, found)
	})
	return mux
}

// known answers for those who have the token, about repositories that exist, and writes down what was asked.
func (f *forge) known(answer func(*forgeRepository, *http.Request, []byte) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		var body json.RawMessage
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&body); err != nil && r.ContentLength > 0 {
			reply(w, http.StatusUnprocessableEntity, complaint("the body is not JSON"))
			return
		}
		f.mutex.Lock()
		defer f.mutex.Unlock()
		found := f.repositories[name]
		if found == nil {
			found = &forgeRepository{}
			f.repositories[name] = found
		}
		var status int
		var content any
		if !authorized(r) {
			status, content = http.StatusUnauthorized, complaint("token is required")
		} else if !f.exists(name) {
			status, content = http.StatusNotFound, complaint("GetRepository: repository does not exist")
		} else {
			status, content = answer(found, r, body)
		}
		found.Requests = append(found.Requests, forgeRequest{r.Method, r.URL.RequestURI(), status, body})
		reply(w, status, content)
	}
}

func authorized(r *http.Request) bool {
	_, password, _ := r.BasicAuth()
	header := r.Header.Get("Authorization")
	return header == "token "+Token || header == "Bearer "+Token || password == Token
}

func complaint(message string) any {
	return map[string]string{"message": message, "url": "https://gitea.example/api/swagger"}
}

func reply(w http.ResponseWriter, status int, content any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status != http.StatusNoContent {
		_ = json.NewEncoder(w).Encode(content)
	}
}

func (f *forge) folder(name string) string {
	return filepath.Join(f.root, filepath.Base(name)+".git")
}

func (f *forge) exists(name string) bool {
	_, err := os.Stat(f.folder(name))
	return err == nil
}

// commit returns the commit of a branch, or nothing.
func (f *forge) commit(name, branch string) string {
	command := exec.Command("git", "-C", f.folder(name), "rev-parse", "--verify", "--quiet", "refs/heads/"+branch)
	command.Env = append(os.Environ(), gitSettings()...)
	output, err := command.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(output))
}

func (f *forge) page(name, rest string) string {
	return fmt.Sprintf("%s/git/%s%s", f.address, name, rest)
}

func (f *forge) describe(_ *forgeRepository, r *http.Request, _ []byte) (int, any) {
	name := r.PathValue("name")
	return http.StatusOK, map[string]any{
		"name": name, "full_name": "git/" + name, "default_branch": "main", "html_url": f.page(name, ""),
		"clone_url": f.page(name, ".git"), "permissions": map[string]bool{"admin": true, "push": true, "pull": true},
	}
}

func (f *forge) branch(_ *forgeRepository, r *http.Request, _ []byte) (int, any) {
	branch := r.PathValue("branch")
	commit := f.commit(r.PathValue("name"), branch)
	if commit == "" {
		return http.StatusNotFound, complaint("branch does not exist")
	}
	return http.StatusOK, map[string]any{"name": branch, "commit": map[string]string{"id": commit}}
}

func (f *forge) pulls(found *forgeRepository, r *http.Request, _ []byte) (int, any) {
	state := r.URL.Query().Get("state")
	pulls := []forgePull{}
	for _, pull := range found.Pulls {
		if first(r) && (state == "" || state == "all" || state == pull.State) {
			pulls = append(pulls, pull)
		}
	}
	return http.StatusOK, pulls
}

func (f *forge) open(found *forgeRepository, r *http.Request, body []byte) (int, any) {
	var asked struct{ Head, Base, Title, Body string }
	if err := json.Unmarshal(body, &asked); err != nil || asked.Title == "" {
		return http.StatusUnprocessableEntity, complaint("[Title]: Required")
	}
	name := r.PathValue("name")
	head, base := f.commit(name, asked.Head), f.commit(name, asked.Base)
	switch {
	case head == "" || base == "":
		return http.StatusNotFound, complaint("the target couldn't be found")
	case head == base:
		return http.StatusUnprocessableEntity, complaint("there are no changes between the head and the base")
	}
	for _, pull := range found.Pulls {
		if pull.State == "open" && pull.Head.Ref == asked.Head && pull.Base.Ref == asked.Base {
			return http.StatusConflict, complaint("pull request already exists for these targets")
		}
	}
	number := len(found.Pulls) + 1
	found.Pulls = append(found.Pulls, forgePull{
		Number: number, Title: asked.Title, Body: asked.Body, State: "open",
		HTMLURL: f.page(name, "/pulls/"+strconv.Itoa(number)),
		Head:    forgeBranch{asked.Head, head}, Base: forgeBranch{asked.Base, base},
	})
	return http.StatusCreated, found.Pulls[number-1]
}

func (f *forge) change(found *forgeRepository, r *http.Request, body []byte) (int, any) {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 || number > len(found.Pulls) {
		return http.StatusNotFound, complaint("pull request does not exist")
	}
	var asked struct{ Title, Body, State *string }
	if err := json.Unmarshal(body, &asked); err != nil {
		return http.StatusUnprocessableEntity, complaint(err.Error())
	}
	pull := &found.Pulls[number-1]
	for _, field := range []struct{ to, from *string }{
		{&pull.Title, asked.Title}, {&pull.Body, asked.Body}, {&pull.State, asked.State},
	} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	return http.StatusCreated, *pull
}

func (f *forge) keys(found *forgeRepository, r *http.Request, _ []byte) (int, any) {
	keys := []forgeKey{}
	if first(r) {
		keys = append(keys, found.Keys...)
	}
	return http.StatusOK, keys
}

func first(r *http.Request) bool {
	page := r.URL.Query().Get("page")
	return page == "" || page == "1"
}

func (f *forge) register(found *forgeRepository, _ *http.Request, body []byte) (int, any) {
	// Gitea's default is a key that may write.
	var asked forgeKey
	if err := json.Unmarshal(body, &asked); err != nil || asked.Title == "" {
		return http.StatusUnprocessableEntity, complaint("[Title]: Required")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(asked.Key)); err != nil {
		return http.StatusUnprocessableEntity, complaint("Invalid key content: " + err.Error())
	}
	for _, key := range found.Keys {
		if sameKey(key.Key, asked.Key) {
			return http.StatusUnprocessableEntity, complaint("A key with the same content already exists")
		}
		if key.Title == asked.Title {
			return http.StatusUnprocessableEntity, complaint("A key with the same name already exists")
		}
		asked.ID = key.ID
	}
	asked.ID++
	found.Keys = append(found.Keys, asked)
	return http.StatusCreated, asked
}

func (f *forge) forget(found *forgeRepository, r *http.Request, _ []byte) (int, any) {
	before := len(found.Keys)
	found.Keys = slices.DeleteFunc(found.Keys, func(key forgeKey) bool { return strconv.Itoa(key.ID) == r.PathValue("id") })
	if len(found.Keys) == before {
		return http.StatusNotFound, complaint("key does not exist")
	}
	return http.StatusNoContent, nil
}

// allows tells whether a deploy key may read, or write, a repository over ssh.
func (f *forge) allows(name, key string, write bool) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	found := f.repositories[name]
	return found != nil && slices.ContainsFunc(found.Keys, func(known forgeKey) bool {
		return sameKey(known.Key, key) && !(write && known.ReadOnly)
	})
}

func (f *forge) knows(key string) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, found := range f.repositories {
		if slices.ContainsFunc(found.Keys, func(known forgeKey) bool { return sameKey(known.Key, key) }) {
			return true
		}
	}
	return false
}

// sameKey compares two authorized_keys lines without their comments.
func sameKey(one, other string) bool {
	first, second := strings.Fields(one), strings.Fields(other)
	return len(first) > 1 && len(second) > 1 && slices.Equal(first[:2], second[:2])
}
