{{/*
The objects of a file of manifests/base, which is the one source of the installation: as a list,
in the release's namespace. {file, root}
*/}}
{{- define "base" -}}
{{- $objects := list -}}
{{- range $text := regexSplit "(?m)^---$" (.root.Files.Get (printf "files/base/%s.yaml" .file)) -1 -}}
  {{- $object := fromYaml $text -}}
  {{- if $object -}}
    {{- if $object.metadata.namespace -}}
      {{- $_ := set $object.metadata "namespace" $.root.Release.Namespace -}}
    {{- end -}}
    {{- range $object.subjects -}}
      {{- $_ := set . "namespace" $.root.Release.Namespace -}}
    {{- end -}}
    {{- $objects = append $objects $object -}}
  {{- end -}}
{{- end -}}
{{- if not $objects -}}
  {{- fail (printf "files/base/%s.yaml is not in the chart" .file) -}}
{{- end -}}
{{- toYaml (dict "objects" $objects) -}}
{{- end -}}
