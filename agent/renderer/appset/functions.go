package appset

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// changing functions give another result each time: an Application made with one would be written anew at every look.
var changing = []string{
	"now", "ago", "uuidv4", "shuffle", "randAlphaNum", "randAlpha", "randAscii", "randNumeric", "randBytes", "randInt",
	"genPrivateKey", "genCA", "genCAWithKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert",
	"genSignedCertWithKey", "htpasswd", "bcrypt", "encryptAES",
}

// outside functions read the process' surroundings; Argo CD removes them as well.
var outside = []string{"env", "expandenv", "getHostByName"}

// calculating functions want numbers of Go's own types.
var calculating = []string{
	"add", "add1", "sub", "div", "mod", "mul", "max", "min", "biggest", "addf", "add1f", "subf", "divf", "mulf", "maxf",
	"minf", "int", "int64", "float64", "floor", "ceil", "round", "until", "untilStep", "seq", "kindOf", "kindIs", "typeOf",
	"typeIs", "typeIsLike", "empty", "has", "mustHas", "without", "mustWithout", "uniq", "mustUniq", "deepEqual",
	"duration", "durationRound", "htmlDate", "htmlDateInZone", "date", "date_in_zone", "dateInZone",
}

// Changing says that a template would give another result each time.
type Changing struct{ Function string }

// Error implements error.
func (c *Changing) Error() string {
	return fmt.Sprintf("the function %s gives another result each time, so the Application would never come to rest; write the value itself", c.Function)
}

// functions are those that templates may call: sprig's, Argo CD's own, and Go's where they compare.
func functions() template.FuncMap {
	all := sprig.GenericFuncMap()
	for _, name := range outside {
		delete(all, name)
	}
	for _, name := range changing {
		all[name] = func(...any) (string, error) { return "", &Changing{name} }
	}
	for _, name := range calculating {
		if function, ok := all[name]; ok {
			all[name] = withPlainNumbers(function)
		}
	}
	for _, name := range []string{"date", "htmlDate", "date_in_zone", "dateInZone", "htmlDateInZone"} {
		all[name] = withTime(name, all[name])
	}
	for _, name := range []string{"eq", "ne", "lt", "le", "gt", "ge"} {
		all[name] = comparison(name)
	}
	all["keys"] = sortedKeys
	all["values"] = sortedValues
	all["normalize"] = Normalize
	all["slugify"] = slugify
	all["toYaml"] = toYaml
	all["fromYaml"] = fromYaml
	all["fromYamlArray"] = fromYamlArray
	return all
}

// withPlainNumbers keeps a function's type, so that the template checks arguments as it would without.
func withPlainNumbers(function any) any {
	inner := reflect.ValueOf(function)
	kind := inner.Type()
	convert := func(value reflect.Value) reflect.Value {
		if value.Kind() != reflect.Interface || value.IsNil() {
			return value
		}
		converted := reflect.ValueOf(plain(value.Interface()))
		out := reflect.New(value.Type()).Elem()
		out.Set(converted)
		return out
	}
	return reflect.MakeFunc(kind, func(arguments []reflect.Value) []reflect.Value {
		for index, argument := range arguments {
			if kind.IsVariadic() && index == len(arguments)-1 {
				rest := reflect.MakeSlice(argument.Type(), argument.Len(), argument.Len())
				for place := range argument.Len() {
					rest.Index(place).Set(convert(argument.Index(place)))
				}
				arguments[index] = rest
				continue
			}
			arguments[index] = convert(argument)
		}
		if kind.IsVariadic() {
			return inner.CallSlice(arguments)
		}
		return inner.Call(arguments)
	}).Interface()
}

// withTime refuses what the functions of dates do without a time: they take that of the clock.
func withTime(name string, function any) any {
	inner := reflect.ValueOf(function)
	kind := inner.Type()
	return reflect.MakeFunc(reflect.FuncOf(inputs(kind), []reflect.Type{kind.Out(0), errorType}, false),
		func(arguments []reflect.Value) []reflect.Value {
			for _, argument := range arguments {
				if argument.Kind() != reflect.Interface {
					continue
				}
				switch argument.Interface().(type) {
				case string, nil, bool:
					return []reflect.Value{reflect.Zero(kind.Out(0)), reflect.ValueOf(fmt.Errorf("%w", &Changing{name + " without a time"}))}
				}
			}
			return append(inner.Call(arguments), reflect.Zero(errorType))
		}).Interface()
}

var errorType = reflect.TypeFor[error]()

func inputs(kind reflect.Type) []reflect.Type {
	types := make([]reflect.Type, kind.NumIn())
	for index := range types {
		types[index] = kind.In(index)
	}
	return types
}

// comparison is Go's own one, which also compares a parameter's number with an integer.
func comparison(name string) any {
	compare := template.Must(template.New("").Parse("{{" + name + " (index . 0) (index . 1)}}"))
	return func(first any, others ...any) (bool, error) {
		if len(others) == 0 {
			return false, fmt.Errorf("missing argument for comparison")
		}
		if name != "eq" && len(others) > 1 {
			return false, fmt.Errorf("wrong number of args for %s: want 2 got %d", name, 1+len(others))
		}
		for _, other := range others {
			left, right := sameKind(plain(first), plain(other))
			var out strings.Builder
			if err := compare.Execute(&out, []any{left, right}); err != nil {
				return false, fmt.Errorf("incompatible types for comparison: %T and %T", left, right)
			}
			if out.String() == "true" {
				return true, nil
			}
		}
		return false, nil
	}
}

// sameKind makes floats of both when one is a float and the other an integer.
func sameKind(left, right any) (any, any) {
	if _, ok := left.(float64); ok {
		if whole, ok := right.(int); ok {
			return left, float64(whole)
		}
		if whole, ok := right.(int64); ok {
			return left, float64(whole)
		}
	}
	if _, ok := right.(float64); ok {
		if whole, ok := left.(int); ok {
			return float64(whole), right
		}
		if whole, ok := left.(int64); ok {
			return float64(whole), right
		}
	}
	if whole, ok := left.(int64); ok {
		if other, ok := right.(int); ok {
			return whole, int64(other)
		}
	}
	if whole, ok := right.(int64); ok {
		if other, ok := left.(int); ok {
			return int64(other), whole
		}
	}
	return left, right
}

// sortedKeys is sprig's, in an order that is always the same.
func sortedKeys(dicts ...map[string]any) []string {
	all := []string{}
	for _, dict := range dicts {
		all = append(all, slices.Sorted(maps.Keys(dict))...)
	}
	return all
}

// sortedValues is sprig's, in the order of their keys.
func sortedValues(dict map[string]any) []any {
	all := []any{}
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		all = append(all, dict[key])
	}
	return all
}

var notInNames = regexp.MustCompile(`[^-a-z0-9.]`)

// Normalize makes a text one that a DNS subdomain name may hold.
func Normalize(text string) string {
	text = notInNames.ReplaceAllString(strings.ToLower(text), "-")
	if len(text) > 253 {
		text = text[:253]
	}
	return strings.Trim(text, "-.")
}

var (
	notInSlugs = regexp.MustCompile(`[^a-z0-9-_]`)
	dashes     = regexp.MustCompile(`-+`)
)

// slugify takes [maximum length] [whether to cut at a dash] and the text.
func slugify(arguments ...any) (string, error) {
	length, smart := 50, true
	rest := arguments
	if len(rest) > 1 {
		whole, ok := plain(rest[0]).(int)
		if float, isFloat := plain(rest[0]).(float64); isFloat {
			whole, ok = int(float), true
		}
		if !ok {
			return "", fmt.Errorf("the first argument of slugify is the greatest length, a number, and not %T", rest[0])
		}
		length, rest = whole, rest[1:]
	}
	if len(rest) > 1 {
		cut, ok := rest[0].(bool)
		if !ok {
			return "", fmt.Errorf("the second argument of slugify says whether to cut between words, true or false, and not %T", rest[0])
		}
		smart, rest = cut, rest[1:]
	}
	if len(rest) != 1 {
		return "", fmt.Errorf("slugify takes a text, before it a length and true or false")
	}
	text, ok := rest[0].(string)
	if !ok {
		return "", fmt.Errorf("slugify takes a text, and not %T", rest[0])
	}
	slug := strings.ReplaceAll(Normalize(text), "_", "-")
	slug = notInSlugs.ReplaceAllString(slug, "-")
	slug = strings.Trim(dashes.ReplaceAllString(slug, "-"), "-_")
	if length <= 0 || len(slug) <= length {
		return slug, nil
	}
	if smart {
		if place := strings.LastIndexByte(slug[:length+1], '-'); place >= 0 {
			return slug[:place], nil
		}
	}
	return strings.Trim(slug[:length], "-_"), nil
}

func toYaml(value any) (string, error) {
	text, err := yaml.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("toYaml: %w", err)
	}
	return strings.TrimSuffix(string(text), "\n"), nil
}

func fromYaml(text string) (map[string]any, error) {
	value, err := ReadYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("fromYaml: %w", err)
	}
	switch value := fromWire(value).(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return value, nil
	default:
		return nil, fmt.Errorf("fromYaml takes YAML of a map; use fromYamlArray for a list")
	}
}

func fromYamlArray(text string) ([]any, error) {
	value, err := ReadYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("fromYamlArray: %w", err)
	}
	switch value := fromWire(value).(type) {
	case nil:
		return nil, nil
	case []any:
		return value, nil
	default:
		return nil, fmt.Errorf("fromYamlArray takes YAML of a list; use fromYaml for a map")
	}
}
