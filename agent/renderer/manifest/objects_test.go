package manifest

import "testing"

func TestNumbersOfJSONAreWrittenAsKubernetesClientsDo(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"1.0", "1"},
		{"1e3", "1000"},
		{"-2.50", "-2.5"},
		{"7", "7"},
		{"0.5", "0.5"},
		{"9007199254740993", "9007199254740993"},
		{"9223372036854775807", "9223372036854775807"},
		{"1E-7", "1e-7"},
		{"1e21", "1e+21"},
	} {
		head := `{"apiVersion":"v1","kind":"A","n":`
		objects, err := FromJSON([]byte(head+test.given+"}"), "f.json")
		if err != nil || len(objects) != 1 {
			t.Fatalf("%s: %d objects, %v", test.given, len(objects), err)
		}
		if got := string(objects[0].JSON); got != head+test.want+"}" {
			t.Errorf("%s: got %s", test.given, got)
		}
	}
	if _, err := FromJSON([]byte("\n{\"apiVersion\":\"v1\",\"kind\":\"A\",\"n\":1e999}"), "f.json"); err == nil {
		t.Error("a number no float can hold was read")
	}
}
