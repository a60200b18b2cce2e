package protocol

import (
	"encoding/json"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// Hello is the first frame: which program this is and what it has given up.
type Hello struct {
	Type      string `json:"type"` // hello
	Protocol  int    `json:"protocol"`
	Kustomize string `json:"kustomize"`
	Helm      string `json:"helm"`
	Landlock  string `json:"landlock"`
	Seccomp   string `json:"seccomp"`
}

// Ask is a question about the repository; the next frame from the agent is its Answer.
type Ask struct {
	Type string `json:"type"` // stat, read, list
	Tree string `json:"tree"`
	Path string `json:"path"`
}

// Answer replies to an Ask. A content's bytes are the body.
type Answer struct {
	Type string `json:"type"` // file, directory, absent, content, listing, refused
	// Real is the path after symbolic links are followed.
	Real  string `json:"real,omitempty"`
	Items []Item `json:"items,omitempty"`
}

// Item is one entry of a folder.
type Item struct {
	Name string `json:"name"`
	// Kind is file, directory, submodule or absent (a link that leads nowhere), of what a link leads to if it is one.
	Kind string `json:"kind"`
	Link bool   `json:"link,omitempty"`
}

// Object announces one object of the result; its JSON is the body.
type Object struct {
	Type     string `json:"type"` // object
	Path     string `json:"path"`
	Line     int    `json:"line,omitempty"`
	Document int    `json:"document"`
}

// Done ends a job that succeeded.
type Done struct {
	Type     string   `json:"type"` // done
	Warnings []string `json:"warnings,omitempty"`
	// Without are files that could have held objects and hold none, by path.
	Without []string `json:"without,omitempty"`
	// Last says that this process takes no other job and ends now.
	Last bool `json:"last,omitempty"`
}

// Failed ends a job that did not.
type Failed struct {
	Type string `json:"type"` // failed
	*failure.Failure
	// Last says that this process takes no other job and ends now.
	Last bool `json:"last,omitempty"`
}

// Job is what the agent wants.
type Job struct {
	// Type is directory, kustomize, helm, or yaml (the body is one YAML document, wanted as JSON); for ApplicationSets
	// templates (the body is an appset.Templates) or values (an appset.Values).
	Type string `json:"type"`
	// Path of the application's folder from the tree's root, without slashes at the ends; empty is the root.
	Path string `json:"path"`
	// TimeoutMillis after which this process ends by itself, in case the agent is not there to end it.
	TimeoutMillis int64         `json:"timeoutMillis"`
	Directory     *DirectoryJob `json:"directory,omitempty"`
	Kustomize     *KustomizeJob `json:"kustomize,omitempty"`
	Helm          *HelmJob      `json:"helm,omitempty"`
}

// DirectoryJob holds an Application's directory options.
type DirectoryJob struct {
	Recurse bool   `json:"recurse"`
	Include string `json:"include"`
	Exclude string `json:"exclude"`
	// AllFiles turns the filter by file name extension off.
	AllFiles bool `json:"allFiles"`
	// Jsonnet is what .jsonnet files are given.
	Jsonnet *JsonnetOptions `json:"jsonnet"`
}

// JsonnetOptions are an Application's directory.jsonnet, with the build environment substituted and paths resolved.
type JsonnetOptions struct {
	TLAs    []JsonnetVariable `json:"tlas"`
	ExtVars []JsonnetVariable `json:"extVars"`
	// Libs are folders from the tree's root.
	Libs []string `json:"libs"`
}

// JsonnetVariable is a text, or code.
type JsonnetVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Code  bool   `json:"code"`
}

// KustomizeJob holds an Application's kustomize options, with the build environment already substituted.
type KustomizeJob struct {
	NamePrefix              string            `json:"namePrefix"`
	NameSuffix              string            `json:"nameSuffix"`
	Namespace               string            `json:"namespace"`
	Images                  []string          `json:"images"`
	Replicas                []Replica         `json:"replicas"`
	CommonLabels            map[string]string `json:"commonLabels"`
	ForceCommonLabels       bool              `json:"forceCommonLabels"`
	LabelWithoutSelector    bool              `json:"labelWithoutSelector"`
	LabelIncludeTemplates   bool              `json:"labelIncludeTemplates"`
	CommonAnnotations       map[string]string `json:"commonAnnotations"`
	ForceCommonAnnotations  bool              `json:"forceCommonAnnotations"`
	Patches                 []json.RawMessage `json:"patches"`
	Components              []string          `json:"components"`
	IgnoreMissingComponents bool              `json:"ignoreMissingComponents"`
	// KubeVersion and APIVersions are what charts of a kustomization see of the cluster.
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
	// LoadAnywhere lets files be outside of their kustomization's folder, within the repository.
	LoadAnywhere bool `json:"loadAnywhere"`
	// LegacyOrder sorts objects by kind.
	LegacyOrder bool `json:"legacyOrder"`
	// ManagedByLabel has kustomize label what it makes.
	ManagedByLabel bool `json:"managedByLabel"`
	// Remotes are what the kustomization refers to outside of its repository, as far as it is there.
	Remotes []Remote `json:"remotes"`
}

// Remote is something outside of the repository and the tree it is in.
type Remote struct {
	failure.Remote
	Tree string `json:"tree"`
}

// Replica is a count for a workload's name.
type Replica struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// HelmJob holds an Application's helm options, with the build environment substituted and paths resolved.
type HelmJob struct {
	ReleaseName string    `json:"releaseName"`
	Namespace   string    `json:"namespace"`
	ValueFiles  []FileRef `json:"valueFiles"`
	// Values is YAML merged over the value files.
	Values         string      `json:"values"`
	Parameters     []Parameter `json:"parameters"`
	FileParameters []FileValue `json:"fileParameters"`
	SkipCRDs       bool        `json:"skipCrds"`
	SkipTests      bool        `json:"skipTests"`
	SkipSchema     bool        `json:"skipSchemaValidation"`
	KubeVersion    string      `json:"kubeVersion"`
	APIVersions    []string    `json:"apiVersions"`
	// Packaged are folders of charts/ that stand for the archive of a dependency.
	Packaged []Packaged `json:"packaged"`
	// Shown is what precedes a template's path in origins: the chart's folder, or nothing for an archive.
	Shown string `json:"shown"`
	// Remotes are what the chart's schemas refer to outside of it, as far as it is there.
	Remotes []Remote `json:"remotes"`
}

// Packaged is a dependency that is not a part of the chart's own folder, so that the chart's .helmignore does not reach
// into it.
type Packaged struct {
	// Path of its folder in the chart, such as charts/redis.
	Path string `json:"path"`
	// Folder says that it is a folder that Helm would make the archive of first, by that folder's own .helmignore.
	Folder bool `json:"folder"`
}

// FileRef names a file of a tree.
type FileRef struct {
	Tree string `json:"tree"`
	Path string `json:"path"`
}

// Parameter is one --set or --set-string.
type Parameter struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	ForceString bool   `json:"forceString"`
}

// FileValue is one --set-file.
type FileValue struct {
	Name string  `json:"name"`
	File FileRef `json:"file"`
}
