package servers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const aKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0lMFcaABKYFyh8D8y2JeDVSkVYCzIhAMKx0ZZhJlfH agent"

func TestForgeOpensOnePullRequestForABranch(t *testing.T) {
	forge := aForge(t)
	const pulls = "/api/v1/repos/git/config/pulls"
	body := `{"head": "fix", "base": "main", "title": "Fix"}`
	for _, step := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/repos/git/config", "", 200},
		{"GET", "/api/v1/repos/git/other", "", 404},
		{"POST", pulls, `{"head": "fix", "base": "main"}`, 422},
		{"POST", pulls, `{"head": "gone", "base": "main", "title": "Fix"}`, 404},
		{"POST", pulls, body, 201},
		{"POST", pulls, body, 409},
		{"PATCH", pulls + "/1", `{"state": "closed"}`, 201},
		{"POST", pulls, body, 201},
	} {
		if got := tell(t, forge.handler(), step.method, step.path, step.body, Token).Code; got != step.status {
			t.Errorf("%s %s %s: got %d, want %d", step.method, step.path, step.body, got, step.status)
		}
	}
	if got := tell(t, forge.handler(), "POST", pulls, body, "wrong").Code; got != 401 {
		t.Errorf("without the token: got %d", got)
	}
	var state forgeRepository
	answer := tell(t, forge.handler(), "GET", "/control/forge/config", "", "")
	if err := json.Unmarshal(answer.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	if len(state.Pulls) != 2 || len(state.Requests) != 8 {
		t.Errorf("got %d pull requests and %d requests", len(state.Pulls), len(state.Requests))
	}
}

func TestForgeKeysOpenTheirRepositoryOnly(t *testing.T) {
	forge := aForge(t)
	body, err := json.Marshal(forgeKey{Title: "agent", Key: aKey, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	const keys = "/api/v1/repos/git/config/keys"
	for _, status := range []int{201, 422} {
		if got := tell(t, forge.handler(), "POST", keys, string(body), Token).Code; got != status {
			t.Errorf("got %d, want %d", got, status)
		}
	}
	line := strings.TrimSuffix(aKey, " agent")
	if !forge.allows("config", line, false) || forge.allows("config", line, true) || forge.allows("other", line, false) {
		t.Error("a read-only key of config reads config, and nothing else")
	}
	if got := tell(t, forge.handler(), "DELETE", keys+"/1", "", Token).Code; got != 204 || forge.knows(line) {
		t.Errorf("got %d, and the key is known: %v", got, forge.knows(line))
	}
}

// aForge has the repository `config` with the branches main and fix.
func aForge(t *testing.T) *forge {
	t.Helper()
	root := t.TempDir()
	bare, work := filepath.Join(root, "config.git"), filepath.Join(root, "work")
	for _, arguments := range [][]string{
		{"init", "-q", "--bare", "-b", "main", bare},
		{"init", "-q", "-b", "main", work},
		{"-C", work, "commit", "-q", "--allow-empty", "-m", "one"},
		{"-C", work, "push", "-q", bare, "HEAD:main"},
		{"-C", work, "commit", "-q", "--allow-empty", "-m", "two"},
		{"-C", work, "push", "-q", bare, "HEAD:fix"},
	} {
		all := append([]string{"-c", "user.name=Tester", "-c", "user.email=tester@example.com"}, arguments...)
		if output, err := exec.Command("git", all...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", arguments, err, output)
		}
	}
	return newForge(root)
}

func tell(t *testing.T, handler http.Handler, method, path, body, token string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header.Set("Authorization", "token "+token)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}
