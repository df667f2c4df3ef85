{{/* Labels of an object: a list of its name and its component. */}}
{{- define "tidegate.labels" -}}
{{- $name := index . 0 -}}
{{- $component := index . 1 -}}
app.kubernetes.io/name: {{ $name }}
app.kubernetes.io/component: {{ $component }}
app.kubernetes.io/part-of: tidegate
{{- end }}

{{/* An object's metadata: a list of its name and its component. */}}
{{- define "tidegate.metadata" -}}
name: {{ first . }}
labels:
  {{- include "tidegate.labels" . | nindent 2 }}
{{- end }}

{{/* An image: a list of the root and the image's name. */}}
{{- define "tidegate.image" -}}
{{- $values := (index . 0).Values -}}
{{- $name := index . 1 -}}
{{- with $values.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $name }}{{ with $values.tag }}:{{ . }}{{ end -}}
{{- end }}

{{/* A ServiceAccount: a list of the root, the account's name and its component. */}}
{{- define "tidegate.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "tidegate.metadata" (rest .) | nindent 2 }}
{{- with (first .).Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Environment variables: a map from names to strings, or to the contents of `valueFrom`. */}}
{{- define "tidegate.env" -}}
{{- $variables := list -}}
{{- range $name, $value := . -}}
{{- $variables = append $variables (dict "name" $name (kindIs "map" $value | ternary "valueFrom" "value") $value) -}}
{{- end -}}
{{- toYaml $variables -}}
{{- end }}

{{/* The security context that the pod security level `restricted` requires. */}}
{{- define "tidegate.securityContext" -}}
runAsNonRoot: true
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* A peer of a network policy: a list of a namespace and the labels of pods there. */}}
{{- define "tidegate.peer" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ index . 0 | quote }}
  podSelector:
    matchLabels:
      {{- index . 1 | toYaml | nindent 6 }}
{{- end }}

{{/* A model's name, checked to exist: a list of the root, the value's path and the name. */}}
{{- define "tidegate.model" -}}
{{- $models := (index . 0).Values.models -}}
{{- $path := index . 1 -}}
{{- $name := index . 2 -}}
{{- if not (hasKey $models $name) -}}
{{- fail (printf "%s is %s, which is not in models: add it there, or name one of: %s." $path $name (keys $models | sortAlpha | join ", ")) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{/* A reference to the router, as the sink or subscriber of a model: the model's name. */}}
{{- define "tidegate.routed" -}}
ref:
  apiVersion: serving.knative.dev/v1
  kind: Service
  name: router
uri: /models/{{ . }}
{{- end }}

{{/* The name of a topic's KafkaSink or KafkaSource. Topics may have capitals and underscores, objects may not. */}}
{{- define "tidegate.topic" -}}
{{- lower . | replace "." "-" | replace "_" "-" -}}
{{- end }}

{{/*
The name of a model card's ConfigMap: a list of the model's name and the card. A changed card makes a new revision, and
an unchanged card does not, also after kustomize.
*/}}
{{- define "tidegate.card" -}}
{{- include "tidegate.hashed" (list (printf "%s-card" (index . 0)) "model.yaml" (index . 1)) -}}
{{- end }}

{{/* The name of the ConfigMap with the streams of one worker: their text. */}}
{{- define "tidegate.streams" -}}
{{- include "tidegate.hashed" (list "streams" "streams.yaml" .) -}}
{{- end }}

{{/*
The name of a ConfigMap of one file, with the hash of kustomize's configMapGenerator: a list of the name, the file's name
and its text. Without a text, the ConfigMap is the user's own, and the name has no hash.
*/}}
{{- define "tidegate.hashed" -}}
{{- $name := index . 0 -}}
{{- $text := index . 2 -}}
{{- if $text -}}
{{- $hash := dict "kind" "ConfigMap" "name" "" "data" (dict (index . 1) $text) | toJson | sha256sum | trunc 10 -}}
{{- $name -}}-{{- $hash | replace "0" "g" | replace "1" "h" | replace "3" "k" | replace "a" "m" | replace "e" "t" -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end }}
