package supervisor

import (
	"os"
	"testing"
)

func TestParseStatReadsPastAnyName(t *testing.T) {
	const tail = " 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 4242 0 0"
	for _, name := range []string{"sh", "a b", "x) Z 9", "((", ""} {
		state, start, err := parseStat([]byte("7 (" + name + ") S" + tail))
		if err != nil || state != 'S' || start != 4242 {
			t.Errorf("name %q: got %c %d %v", name, state, start, err)
		}
	}
	for _, damaged := range []string{"", "7 sh S 1", "7 (sh) S 1 2 3"} {
		if _, _, err := parseStat([]byte(damaged)); err == nil {
			t.Errorf("%q: want an error", damaged)
		}
	}
}

func TestIdentityIsNotItsNumber(t *testing.T) {
	self, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("this process lives")
	}
	self.Start++
	if self.Alive() {
		t.Error("a process that started at another time is another process")
	}
	if (Identity{}).Alive() {
		t.Error("no process at all lives")
	}
}
