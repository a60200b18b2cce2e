package servers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func ask(t *testing.T, handler http.Handler, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, target, nil))
	return recorder
}

func TestOutageOfOneRepositoryLeavesTheOthers(t *testing.T) {
	control := newControl()
	served := control.gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	const one, two = "/git/team/one.git/info/refs?service=git-upload-pack", "/git/two.git/info/refs"
	expect := func(target string, want int) {
		t.Helper()
		if got := ask(t, served, http.MethodGet, target).Code; got != want {
			t.Errorf("%s: got %d, want %d", target, got, want)
		}
	}
	expect(one, 200)
	ask(t, control, http.MethodPut, "/control/outage/team/one?status=502")
	expect(one, 502)
	expect(two, 200)
	ask(t, control, http.MethodPut, "/control/outage/*")
	expect(two, 503)
	expect("/charts/index.yaml", 503)
	ask(t, control, http.MethodDelete, "/control/outage/*")
	expect(two, 200)
	expect(one, 502)
	ask(t, control, http.MethodDelete, "/control/outage/team/one")
	expect(one, 200)

	var counted map[string]map[string]int
	if err := json.Unmarshal(ask(t, control, http.MethodGet, "/control/requests").Body.Bytes(), &counted); err != nil {
		t.Fatal(err)
	}
	if got := counted["team/one"]["info/refs git-upload-pack"]; got != 4 {
		t.Errorf("requests counted for team/one: got %d, want 4", got)
	}
}

func TestHangingRequestIsAnsweredWhenTheOutageEnds(t *testing.T) {
	control := newControl()
	ask(t, control, http.MethodPut, "/control/outage/one?hang=true")
	answered := make(chan int)
	go func() { answered <- control.enter("one", "info/refs", nil) }()
	select {
	case <-answered:
		t.Fatal("answered during the outage")
	default:
	}
	ask(t, control, http.MethodDelete, "/control/outage/one")
	if status := <-answered; status != 0 {
		t.Errorf("got %d, want the request to pass", status)
	}
	if code := ask(t, control, http.MethodPut, "/control/outage/one?status=200").Code; code != http.StatusBadRequest {
		t.Errorf("status=200 is no outage: got %d", code)
	}
}
