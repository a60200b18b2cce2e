// Package appset does for ApplicationSets what only Go can do as Argo CD does it: it fills templates in Go's language and
// reads YAML as Argo CD's parser does. It knows neither generators nor Applications: texts and parameters come in, texts
// and values go out.
package appset

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Number is a number that Go's own type would print in another way than it was written: 123456789012 would become
// 1.23456789012e+11, and 1.10 would become 1.1.
type Number string

// Format prints the number as it was written, and as what a verb for integers or floats asks for.
func (n Number) Format(state fmt.State, verb rune) {
	format := fmt.FormatString(state, verb)
	switch verb {
	case 'd', 'b', 'o', 'O', 'x', 'X', 'c', 'U':
		if whole, ok := n.whole(); ok {
			fmt.Fprintf(state, format, whole)
			return
		}
		fmt.Fprintf(state, format, n.float())
	case 'e', 'E', 'f', 'F', 'g', 'G':
		fmt.Fprintf(state, format, n.float())
	default:
		fmt.Fprintf(state, format, string(n))
	}
}

// String is the number as it was written.
func (n Number) String() string { return string(n) }

// MarshalJSON writes the number itself.
func (n Number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func (n Number) float() float64 {
	value, err := strconv.ParseFloat(string(n), 64)
	if err != nil && !math.IsInf(value, 0) {
		return 0
	}
	return value
}

func (n Number) whole() (int64, bool) {
	value, err := strconv.ParseInt(string(n), 10, 64)
	return value, err == nil
}

// number is what a template gets for a number: Go's own type where that prints as it was written, as in Argo CD.
func number(text string) any {
	value, err := strconv.ParseFloat(text, 64)
	if err == nil && (value == 0 || fmt.Sprint(value) == text) {
		return value
	}
	return Number(text)
}

// plain gives functions that calculate with a number, or ask for its type, one of Go's own types.
func plain(value any) any {
	switch value := value.(type) {
	case Number:
		// Beyond 2^53 a float does not hold every integer.
		if whole, ok := value.whole(); ok && (whole > 1<<53 || whole < -(1<<53)) {
			return whole
		}
		return value.float()
	case []any:
		for index := range value {
			if plain(value[index]) != any(value[index]) {
				return plainList(value)
			}
		}
		return value
	default:
		return value
	}
}

func plainList(list []any) []any {
	out := make([]any, len(list))
	for index, value := range list {
		out[index] = plain(value)
	}
	return out
}

// exactKey marks a number whose text JSON parsers do not keep; both directions of the conversation use it.
const exactKey = "\x00number"

// fromWire makes parameters of decoded JSON.
func fromWire(value any) any {
	switch value := value.(type) {
	case json.Number:
		return number(value.String())
	case map[string]any:
		if text, ok := value[exactKey].(string); ok && len(value) == 1 {
			return number(text)
		}
		for key, inner := range value {
			value[key] = fromWire(inner)
		}
		return value
	case []any:
		for index, inner := range value {
			value[index] = fromWire(inner)
		}
		return value
	default:
		return value
	}
}
