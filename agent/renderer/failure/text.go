package failure

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxMessage is the length of a shown text in bytes.
const maxMessage = 800

// maxGiven is how much of a library's text is looked at, in bytes; it may hold the dump of an object of any size.
const maxGiven = 64 << 10

// maxPattern is the longest regular expression of a schema that is shown, in bytes.
const maxPattern = 100

// hidden stands for what is left out.
const hidden = "…"

// repeating are texts of libraries that repeat a value or a document without quoting it, or in quotes that would be kept,
// with what they become. Sources: sigs.k8s.io/kustomize api and kyaml, helm.sh/helm/v4, Masterminds/sprig, text/template,
// go.yaml.in/yaml, santhosh-tekuri/jsonschema, encoding/json, strconv and time, as go.mod has them.
var repeating = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	// Steps of a YAML library that mean nothing to who reads the error.
	{regexp.MustCompile(`cannot unmarshal yaml document: |error converting YAML to JSON: (yaml: )?|error unmarshaling JSON: |while decoding JSON: `), ""},
	// go-yaml, a value it could not convert; the second is a value that contains the quotation mark.
	{regexp.MustCompile("cannot unmarshal (!![a-z]+) `[^`\n]*` into"), "cannot use $1 into"},
	{regexp.MustCompile("cannot unmarshal (!![a-z]+) `.*` into"), "cannot use $1 into"},
	{regexp.MustCompile("cannot decode (!![a-z]+) `(?s:.*)` as a"), "cannot use $1 as a"},
	{regexp.MustCompile("cannot unmarshal (!![a-z]+)"), "cannot use $1"},
	{regexp.MustCompile(`(?s)unsupported map key of type: (\S+), key: .*`), "a mapping has a key of type $1; only strings, numbers and booleans can be keys"},
	{regexp.MustCompile(`(?s)(invalid map key: ).*`), "${1}only strings, numbers and booleans can be keys"},
	// encoding/json, a number that does not fit.
	{regexp.MustCompile(`\bnumber -?[0-9][0-9.eE+-]* into`), "number into"},
	// strconv and time, what they parsed.
	{regexp.MustCompile(`(?s)\b(strconv\.\w+): parsing "(?:[^"\\]|\\.)*"`), "$1"},
	{regexp.MustCompile(`(?s)parsing time "(?:[^"\\]|\\.)*".*`), "a time is not written as its layout says"},
	{regexp.MustCompile(`(?s)\btime: (invalid|unknown unit|missing unit).*? in duration "(?:[^"\\]|\\.)*"`), "not a duration"},
	{regexp.MustCompile(`(?s)\btime: invalid duration .*`), "not a duration"},
	{regexp.MustCompile(`(?s)\b(invalid duration seconds|duration (?:nano)?seconds overflow): \S+`), "$1"},
	// net/url, what it parsed.
	{regexp.MustCompile(`(?s)(unable to parse url: )?\bparse "(?:[^"\\]|\\.)*": `), "a URL cannot be read: "},
	{regexp.MustCompile(`(?s)(error parsing ip: ).*`), "${1}not an IP address"},
	// regexp, the expression.
	{regexp.MustCompile("(?s)(error parsing regexp: [^:`]*): `.*`"), "$1"},
	// JSON schema, a value that breaks a rule, and values it would take.
	{regexp.MustCompile(`(?s)'(?:[^'\\]|\\.)*' (does not match|is not valid)`), "the value $1"},
	{regexp.MustCompile(`(?m)(value must be(?: one of)? ).*$`), "${1}what the schema lists"},
	{regexp.MustCompile(`\b((?:exclusiveM|m)(?:in|ax)imum|multipleOf): got \S+, want (\S+)`), "$1 is $2"},
	// text/template, a value it cannot iterate over.
	{regexp.MustCompile(`(?s)(range can't iterate over|range over send-only channel|if/with can't use) .*`), "$1 such a value"},
	{regexp.MustCompile(`(?s)can't use .* (to )?iterate over more than one variable`), "cannot iterate over more than one variable"},
	// Helm, a value where a subchart's mapping should be.
	{regexp.MustCompile(`(?s)type mismatch on ([\w.-]+): .*`), "values of $1 are not a mapping"},
	// Helm's tpl, the text it was given; the error about it follows its last quotation mark.
	{regexp.MustCompile(`(?s)(cannot parse template|tpl function execution for) "(?:[^"\\]|\\.)*"`), "$1 a text"},
	{regexp.MustCompile(`(?s)(template: )?gotpl:(\d+)`), "line $2 of the text"},
	// kyaml, the whole node or object; they are said last.
	{regexp.MustCompile(`(?s): node contents:.*`), ""},
	{regexp.MustCompile(`(?s)(even length contents: content length \d+), content summary:.*`), "$1"},
	{regexp.MustCompile(`(?s)(missing (?:kind|metadata\.name)) in object \{.*`), "$1 in an object"},
	{regexp.MustCompile(`(?s)(received error .*?) for the following resource:.*`), "$1"},
	{regexp.MustCompile(`(?s)(is not a (?:string|slice)): .*`), "$1"},
	{regexp.MustCompile(`(?s)(an unexpected key) \(.*?\)( was found)`), "$1$2"},
	{regexp.MustCompile(`(?s)invalid document separator: .*`), "only a comment may follow a document separator"},
	{regexp.MustCompile(`(?s)anchor "[^"]*" defined using alias .*`), "an anchor is defined by an alias"},
	// go-yaml, an alias; a value that begins with an asterisk and has no quotes is taken for one.
	{regexp.MustCompile(`unknown anchor '[^']*' referenced`), "an alias (a value that begins with *) refers to no anchor; put a value that is none in quotes"},
	{regexp.MustCompile(`anchor '[^']*' value contains itself`), "an anchor contains itself"},
	// kustomize, a patch, an object, the configuration of a generator or transformer.
	{regexp.MustCompile(`(?s)(expected 1 resource, found \d+) in .*`), "$1"},
	{regexp.MustCompile(`(?s)(empty item at \S+) in object .*`), "$1"},
	{regexp.MustCompile(`(?s)((?:roleRef|apiGroup|kind) cannot be found in) .*`), "$1 an object"},
	{regexp.MustCompile(`(?s)(options\.index \d+ is out of bounds) for value .*`), "$1"},
	{regexp.MustCompile(`(?s)(must specify one of patch and path|patch and path can't be set at the same time)\s.*`), "$1"},
	{regexp.MustCompile(`(?s)(illegally qualifies as both an SM and JSON patch): .*`), "$1"},
	{regexp.MustCompile(`(?s)(unable to parse SM or JSON patch from) \[(?:path: "([^"]*)"|patch: ).*`), "$1 ${2}a patch"},
	{regexp.MustCompile(`(?s)(must specify a target for(?: JSON)? patch) .*`), "$1"},
	{regexp.MustCompile(`(?s)(set .patches\.target. field): .*`), "$1"},
	{regexp.MustCompile(`(?s)(patch appears to be empty); .*`), "$1"},
	{regexp.MustCompile(`(?s)\bdecoding .*: (invalid character|unexpected end of JSON input|json: |yaml: )`), "a JSON patch cannot be read: $1"},
	{regexp.MustCompile(`(?s)\bdecoding [\[{].*`), "a JSON patch cannot be read"},
	{regexp.MustCompile(`(?s)\b(merging (?:config|CRDs|vars)|adding origin annotations for generator|merging from generator|loading CRDs) (?:&?\{.*\}|\[.*\]): `), "$1: "},
	{regexp.MustCompile("(?s)trouble configuring builtin ([A-Za-z0-9]+) with config: `.*?`: "), "$1: "},
	{regexp.MustCompile("(?s)trouble configuring builtin ([A-Za-z0-9]+) with config: `.*"), "$1 cannot be configured"},
	{regexp.MustCompile(`(?s)(found multiple possible referrals): .*`), "$1"},
	{regexp.MustCompile(`(?s)(nodes unequal|lists have different number of entries):.*`), "$1"},
	{regexp.MustCompile(`(?s)found multiple objects .* that could accept merge of .*`), "found multiple objects that could accept a merge"},
	{regexp.MustCompile(`(?s)(updating name reference in '[^']*' field) of '[^']*'`), "$1"},
	{regexp.MustCompile(`(?s)\bvar '\{?(\w+)\b[^']*' (cannot be mapped)`), "var $1 $2"},
	{regexp.MustCompile(`resid\.ResId\{Gvk:resid\.Gvk\{[^}]*Kind:"(\w*)"[^}]*\}, Name:"([\w.-]*)"[^}]*\}`), "$1/$2"},
	{regexp.MustCompile(`(?s)\b(?:open|evalsymlink failure on) \S*\s.*: file does not exist`), "what is written in place is not valid, and there is no file of that name"},
	{regexp.MustCompile(`Unexpected kind: .*`), "a JSON patch has an operation that does not exist"},
	// kustomize's generators, for which package kustomize has better words when it finds the entry itself.
	{regexp.MustCompile(`(?s)\bliteral sources .*`), "a literal of a generator is not KEY=VALUE"},
	{regexp.MustCompile(`(?s)(?:line \S+ has )?invalid utf8 bytes : .*`), "a line of an environment file is not UTF-8"},
	{regexp.MustCompile(`(?s)invalid literal source .*`), "a literal of a generator is not KEY=VALUE"},
	{regexp.MustCompile(`(?s)(file sources: )?(missing (?:key name|file path)|source ".*" key name or file path) .*`), "an entry of a generator's files is neither PATH nor KEY=PATH"},
	{regexp.MustCompile(`"(?:[^"\\]|\\.)*"( is not a valid key name)`), "a key$1"},
	{regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"( (?:is not a valid environment variable name|contains illegal character))`), "a key$1"},
}

var (
	quotations = []*regexp.Regexp{
		regexp.MustCompile("(?s)`[^`]*`"),
		regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"`),
		// Not the apostrophe of a word.
		regexp.MustCompile(`(?s)\B'[^']*'`),
	}
	// unfinished is a quotation without its end.
	unfinished = regexp.MustCompile("(?s)(^|[\\s(\\[{=:])(\"[^\"]*|`[^`]*)$")
	spaces     = regexp.MustCompile(`\s+`)

	// name is how names of fields, files, templates and objects are written. A value can look the same, so what stands before
	// it decides.
	name = regexp.MustCompile(`^[\w./:@$*~{}\[\]-]{1,200}$`)
	// introduction says that a name follows in quotation marks, and no value.
	introduction = regexp.MustCompile(`(?i)\b(?:executing|include|template|tpl|define|block|function|fields?|fieldName|fieldPath|chart\.metadata\.\w+|propert(?:y|ies)|propertyName|` +
		`mapping key|no entry for key|illegally repeats the key|variable|kind|files?|paths?|dir|directory|folder|root|URI|resources from|merging from|chart|dependency|name|alias|` +
		`annotation|label|definition|operat(?:or|ion)|method|component|resource|Id|selector|in or below|sort order|behavior|mismatch|of type|tag|parameters|required, if)\b:?\s?$`)
	// pointer is said before a place in a document or schema.
	pointer = regexp.MustCompile(`\b(?:at|with|in)\s$`)
	// place is a JSON pointer, or a schema's location.
	place = regexp.MustCompile(`^(/[\w./~-]*|[a-z]+://[\w./-]*#[\w./-]*|)$`)
	// schemaPattern is said before a regular expression of a schema.
	schemaPattern = regexp.MustCompile(`does not match pattern $`)
	// conjunction is between names of a list.
	conjunction = regexp.MustCompile(`^(, | and | or |, and |, or )$`)
	// afterwards says that what was quoted is a name.
	afterwards = regexp.MustCompile(`^\s?(?:must resolve to a file|doesn't exist|does not exist|is not defined|not defined|refers to|is not a directory|is an incomplete|has disallowed|is not a defined function|is ambiguous)`)
	// resource is an object's identity as kustomize writes it.
	resource = regexp.MustCompile(`^[A-Za-z0-9]+(\.\[?[\w-]+\]?)+/\[?[\w.:-]+\]?\.\[?[\w.-]+\]?$|^\[?(?:noKind|[A-Za-z]*)\.?\[?no(?:Ver|Grp)\]?.*$`)
	// file is a name with one of the endings of the field.
	file = regexp.MustCompile(`^[\w./@+~*-]*\.(ya?ml|json|tpl|txt|env|properties|conf|toml|ini|sh|tgz|lock|md)$|^[Kk]ustomization$`)
	// word is a type, or a value a schema of Kubernetes or kustomize itself has.
	word = regexp.MustCompile(`^(string|number|integer|object|array|boolean|null|merge|replace|create|legacy|fifo|Component|Kustomization|patches|patches\.target|resources|sortOptions\.order|not|allOf|anyOf|oneOf|enum|const|contentSchema|\+|-|=|:|;|,|\||<|>|%|&|\*|\.|[(){}\[\]"'` + "`" + `]{1,2}|=>|\{\{|\}\}|.?)$`)
	// index, type or keyword in brackets and braces.
	bracketed = regexp.MustCompile(`^(\d*|string|int|noNs|noGrp|noVer|noKind|noName|[\w./-]+\.(?:ya?ml|json|env|txt)(?:[ ,]+[\w./-]+\.(?:ya?ml|json|env|txt))*|\{?(?:end|else|if|with|range|define|block|template|break|continue)?\}?)$`)
	// subscript follows a name at once.
	subscript = regexp.MustCompile(`\w\[[a-z]{1,12}\]$`)
)

// Shorten makes one line of at most maxMessage bytes of a library's error. Whatever may be content of a file is replaced
// by an ellipsis: a quotation is kept only where the words around it say that it is a name, brackets and braces only with
// an index or a type in them.
func Shorten(text string) string {
	text = text[:min(len(text), maxGiven)]
	for _, known := range repeating {
		text = known.pattern.ReplaceAllString(text, known.replacement)
	}
	kept := &names{}
	text = strings.ReplaceAll(text, marker, " ")
	for _, pattern := range quotations {
		text = kept.withoutValues(text, pattern)
	}
	text = unfinished.ReplaceAllString(text, "$1"+hidden)
	text = kept.restore(withoutGroups(text))
	return OneLine(text)
}

// OneLine makes one line of at most maxMessage bytes of a text that is shown as its author wrote it.
func OneLine(text string) string {
	text = strings.TrimSpace(spaces.ReplaceAllString(text, " "))
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + hidden
}

// marker stands for a quotation that is kept while the rest of the text is searched.
const marker = "\x00"

// names are the kept quotations, in the order in which they were found.
type names struct{ quotations []string }

// withoutValues empties the quotations that are not known to be names, and puts the others aside.
func (n *names) withoutValues(text string, pattern *regexp.Regexp) string {
	var out strings.Builder
	done, listed := 0, false
	for _, at := range pattern.FindAllStringIndex(text, -1) {
		between := text[done:at[0]]
		out.WriteString(between)
		quotation := text[at[0]:at[1]]
		content := quotation[1 : len(quotation)-1]
		listed = isName(text[max(0, at[0]-80):at[0]], content, text[at[1]:]) ||
			listed && conjunction.MatchString(between) && name.MatchString(content)
		if listed {
			n.quotations = append(n.quotations, quotation)
			out.WriteString(marker + string(rune(len(n.quotations))) + marker)
		} else {
			out.WriteString(quotation[:1] + hidden + quotation[:1])
		}
		done = at[1]
	}
	return out.String() + text[done:]
}

// restore puts the quotations back; one of another kind may hold one, so the last are first.
func (n *names) restore(text string) string {
	for at := len(n.quotations); at > 0; at-- {
		text = strings.Replace(text, marker+string(rune(at))+marker, n.quotations[at-1], 1)
	}
	return text
}

func isName(before, content, after string) bool {
	switch {
	case word.MatchString(content), file.MatchString(content), resource.MatchString(content):
		return true
	case pointer.MatchString(before) && place.MatchString(content):
		return true
	case schemaPattern.MatchString(before):
		return len(content) <= maxPattern
	default:
		return name.MatchString(content) && (introduction.MatchString(before) || afterwards.MatchString(after))
	}
}

// withoutGroups empties outermost brackets and braces that hold more than an index or a type. One that is not closed
// goes on to the end.
func withoutGroups(text string) string {
	var out strings.Builder
	for {
		start := strings.IndexAny(text, "[{")
		if start < 0 {
			return out.String() + text
		}
		out.WriteString(text[:start])
		before := text[max(0, start-1):start]
		end := closing(text[start:])
		group := text[start:]
		if end > 0 {
			group = group[:end]
		}
		switch {
		case end > 0 && (bracketed.MatchString(group[1:len(group)-1]) || subscript.MatchString(before+group)):
			out.WriteString(group)
		case end > 0:
			out.WriteString(group[:1] + hidden + group[len(group)-1:])
		default:
			return out.String() + group[:1] + hidden
		}
		text = text[start+len(group):]
	}
}

// closing gives the length of the group a text begins with, or nothing when it has no end. Quoted brackets are taken out
// before, but for single ones in quotation marks.
func closing(text string) int {
	depth := 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return 0
}
