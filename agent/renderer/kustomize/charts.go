package kustomize

import (
	"fmt"
	"path"
	_ "unsafe" // for the link to kustomize's generators

	"sigs.k8s.io/kustomize/api/builtins"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/resmap"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/kustomize/kyaml/yaml/merge2"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/helm"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// generatorKind is what kustomize numbers its generators by.
type generatorKind int

// generatorFactories makes kustomize's own generators. kustomize has no other way to say what stands for its Helm generator, which
// runs the helm program; everything else of it (order, namespaces, merging) stays kustomize's.
//
//go:linkname generatorFactories sigs.k8s.io/kustomize/api/internal/plugins/builtinhelpers.GeneratorFactories
var generatorFactories map[generatorKind]func() resmap.GeneratorPlugin

// helmGenerator is kustomize's number of its Helm generator.
var helmGenerator = func() generatorKind {
	for kind, make := range generatorFactories {
		if _, ok := make().(*builtins.HelmChartInflationGeneratorPlugin); ok {
			return kind
		}
	}
	panic("kustomize has no Helm generator")
}()

// inflateCharts has the next build inflate charts here. A process builds one kustomization at a time.
func inflateCharts(files *filesystem) {
	generatorFactories[helmGenerator] = func() resmap.GeneratorPlugin { return &chartGenerator{files: files} }
}

// chartGenerator does what kustomize's own does, with Helm's library and charts that the agent has fetched.
type chartGenerator struct {
	// Its fields and their defaults are kustomize's.
	builtins.HelmChartInflationGeneratorPlugin
	files *filesystem
	h     *resmap.PluginHelpers
	// in is the kustomization, for errors.
	in string
}

// Config implements resmap.Configurable.
func (c *chartGenerator) Config(h *resmap.PluginHelpers, config []byte) error {
	c.h = h
	var fields map[string]any
	if err := yaml.Unmarshal(config, &fields); err != nil {
		return err
	}
	// Without one kustomize makes a folder for Helm's own files, which there are none of.
	fields["configHome"] = "none"
	config, err := yaml.Marshal(fields)
	if err != nil {
		return err
	}
	c.in = "a kustomization"
	if at, err := c.files.spot(h.Loader().Root()); err == nil {
		c.in = shown(at.shown)
	}
	return c.HelmChartInflationGeneratorPlugin.Config(h, config)
}

// home is the folder in which the chart's own is looked for.
func (c *chartGenerator) home() string {
	home := c.ChartHome
	if !path.IsAbs(home) {
		home = path.Join(c.h.Loader().Root(), home)
	}
	if c.Version != "" && c.Repo != "" {
		home = path.Join(home, c.Name+"-"+c.Version)
	}
	return home
}

// Generate implements resmap.Generator.
func (c *chartGenerator) Generate() (resmap.ResMap, error) {
	folder := path.Join(c.home(), c.Name)
	root, err := c.files.spot(c.h.Loader().Root())
	if err != nil {
		return nil, err
	}
	if _, ok := below(root.root, folder); !ok {
		return nil, c.files.refuse(failure.At(failure.Invalid, c.in, 0, fmt.Sprintf(
			"%s: chart %s: chartHome leads out of the repository; keep charts inside, or name their repository with repo", c.in, c.Name)))
	}
	if entry, err := c.files.stat(folder); err != nil || entry.Kind != tree.Directory {
		if c.Repo == "" {
			return nil, c.files.refuse(failure.At(failure.Missing, c.in, 0, fmt.Sprintf(
				"%s: chart %s has no repo to fetch it from, and %s does not exist; correct chartHome, or commit the chart", c.in, c.Name, c.files.remotes.named(relative(folder)))))
		}
		version := c.Version
		if version == "" {
			version = "*"
			if c.Devel {
				version = ">0.0.0-0"
			}
		}
		if !c.files.remotes.pull(folder, failure.Remote{Kind: "chart", URL: c.Repo, Name: c.Name, Revision: version, In: c.in}) {
			return c.h.ResmapFactory().NewResMapFromBytes(nil)
		}
		if c.Version == "" {
			c.files.warn(fmt.Sprintf("%s: chart %s of %s has no version, so what is applied changes whenever a newer one is published; set version", c.in, c.Name, withoutPassword(c.Repo)))
		}
	}
	values, err := c.values()
	if err != nil {
		return nil, err
	}
	at, err := c.files.spot(folder)
	if err != nil {
		return nil, err
	}
	output, err := helm.Inflate(c.files.trees, &helm.Inflation{
		Tree: at.tree, Folder: at.path,
		ReleaseName: c.ReleaseName, NameTemplate: c.NameTemplate, Namespace: c.Namespace,
		Values: values, KubeVersion: c.KubeVersion, APIVersions: c.ApiVersions,
		IncludeCRDs: c.IncludeCRDs, SkipHooks: c.SkipHooks, SkipTests: c.SkipTests,
		Remotes: c.files.remotes.given,
	}, c.files.warn)
	if err != nil {
		return nil, err
	}
	made, err := c.h.ResmapFactory().NewResMapFromBytes(output)
	if err != nil {
		return nil, failure.At(failure.Tool, c.in, 0, fmt.Sprintf("%s: chart %s: its output cannot be read: %s", c.in, c.Name, failure.Shorten(err.Error())))
	}
	for _, resource := range made.Resources() {
		if err := resource.RNode.PipeE(kyaml.SetAnnotation(konfig.HelmGeneratedAnnotation, "true")); err != nil {
			return nil, err
		}
	}
	return made, nil
}

func relative(name string) string {
	if inside, ok := below(mount, name); ok {
		return inside
	}
	return name
}

// values are the contents of value files in the order of Helm's: the chart's own or the one that stands for it, with what is
// written in place, then the additional ones.
func (c *chartGenerator) values() ([][]byte, error) {
	first := []byte{}
	var err error
	if len(c.ValuesInline) == 0 || c.ValuesMerge != "replace" {
		if first, err = c.h.Loader().Load(c.ValuesFile); err != nil {
			return nil, err
		}
	}
	if len(c.ValuesInline) > 0 {
		if first, err = c.merged(first); err != nil {
			return nil, err
		}
	}
	all := [][]byte{first}
	for _, file := range c.AdditionalValuesFiles {
		content, err := c.h.Loader().Load(file)
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

// merged puts what is written in place over the file (override), beneath it (merge), or in its stead (replace).
func (c *chartGenerator) merged(file []byte) ([]byte, error) {
	if c.ValuesMerge == "replace" {
		return yaml.Marshal(c.ValuesInline)
	}
	there, err := kyaml.Parse(string(file))
	if err != nil {
		return nil, fmt.Errorf("values file %s: %w", c.ValuesFile, err)
	}
	written, err := kyaml.FromMap(c.ValuesInline)
	if err != nil {
		return nil, err
	}
	over, beneath := written, there
	if c.ValuesMerge == "merge" {
		over, beneath = there, written
	}
	result, err := merge2.Merge(over, beneath, kyaml.MergeOptions{})
	if err != nil {
		return nil, err
	}
	values, err := result.Map()
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(values)
}
