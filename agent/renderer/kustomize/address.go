package kustomize

import (
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// address is an entry of a kustomization that names a folder of another repository, read as kustomize reads it
// (https://github.com/kubernetes-sigs/kustomize/blob/master/examples/remoteBuild.md).
type address struct {
	// url of the repository, for Git.
	url string
	// folder in it.
	folder string
	// revision is a branch, tag or commit; empty for the default branch.
	revision string
	// submodules are wanted, which is the default.
	submodules bool
	// explicit says that the entry can be nothing else: it has a mark of Git's, or is no URL of a file.
	explicit bool
}

var (
	userName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)
	// fileName is how URLs of single files end.
	fileName = regexp.MustCompile(`\.(ya?ml|json)$`)
	// raw is how forges address a single file, whatever its name is; after the scheme.
	raw = regexp.MustCompile(`^(raw|gist)\.githubusercontent\.com/|/releases/download/|/-/raw/|/repository/files/[^/]+/raw$`)
)

// parseAddress reads an entry; false for one that is a local path, or a local repository (file://).
func parseAddress(entry string) (address, bool) {
	if entry == "" || path.IsAbs(entry) || strings.ContainsAny(entry, "\n{") {
		return address{}, false
	}
	text, query, hasQuery := strings.Cut(entry, "?")
	if len(text) >= 5 && strings.EqualFold(text[:5], "git::") {
		text = text[5:]
	}
	scheme := ""
	for _, known := range []string{"ssh://", "https://", "http://"} {
		if len(text) > len(known) && strings.EqualFold(text[:len(known)], known) {
			scheme, text = known, text[len(known):]
			break
		}
	}
	user := userName.FindString(text)
	text = text[len(user):]
	lower := strings.ToLower(text)
	isGitHub := strings.HasPrefix(lower, "github.com/") || strings.HasPrefix(lower, "github.com:")
	likeSCP := scheme == "" && (user != "" || isGitHub)
	if scheme == "" && !likeSCP {
		return address{}, false
	}
	end := strings.Index(text, "/")
	if colon := strings.Index(text, ":"); likeSCP && colon > 0 && (end < 0 || colon < end) {
		end = colon
	}
	if end <= 0 {
		return address{}, false
	}
	host, rest := text[:end+1], text[end+1:]
	if isGitHub {
		if scheme == "ssh://" || user != "" {
			scheme, host = "", "github.com:"
		} else {
			scheme, host = "https://", "github.com/"
		}
	}
	repository, folder, marked := splitRepository(rest)
	folder = strings.TrimPrefix(folder, "/")
	if repository == "" || folder != "" && (path.Clean(folder) == ".." || strings.HasPrefix(path.Clean(folder), "../")) {
		return address{}, false
	}
	found := address{url: scheme + user + host + repository, submodules: true}
	if folder = path.Clean(folder); folder != "." {
		found.folder = folder
	}
	hasRevision := false
	if values, err := url.ParseQuery(query); err == nil && hasQuery {
		found.revision = values.Get("version")
		if named := values.Get("ref"); named != "" {
			found.revision = named
		}
		hasRevision = found.revision != ""
		if wanted, err := strconv.ParseBool(values.Get("submodules")); err == nil {
			found.submodules = wanted
		}
	}
	isHTTP := scheme == "https://" || scheme == "http://"
	isFile := raw.MatchString(text) || !marked && !hasRevision && fileName.MatchString(text)
	found.explicit = !isHTTP || !isFile
	return found, true
}

// splitRepository splits a path after the host at the first mark: what follows `_git/`, a double slash, `.git`; without one
// a repository has two names, an owner and its own.
func splitRepository(text string) (repository, folder string, marked bool) {
	if at := strings.Index(text, "_git/"); at >= 0 {
		name, folder, _ := strings.Cut(text[at+len("_git/"):], "/")
		return text[:at+len("_git/")] + name, folder, true
	}
	if repository, folder, found := strings.Cut(text, "//"); found {
		return repository, folder, true
	}
	if at := strings.Index(text, ".git"); at >= 0 {
		return text[:at+len(".git")], text[at+len(".git"):], true
	}
	names := strings.SplitN(text, "/", 3)
	if len(names) < 2 {
		return "", "", false
	}
	if len(names) == 3 {
		folder = names[2]
	}
	return names[0] + "/" + names[1], folder, false
}
