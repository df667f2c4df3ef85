{{/*
A function as a Knative Service. Takes the root, its name, its component, whether it is private, and as `function` its
values merged over those of all functions. The reasons for each field are in manifests/base/flights/service.yaml.
*/}}
{{- define "tidegate.function" -}}
{{- $name := .name }}
{{- $model := eq .component "model-function" }}
{{- $function := .function }}
{{- $canary := and ($function.canary).enabled $function.canary }}
{{- $storage := and ($function.objectStorage).enabled $function.objectStorage }}
{{- $volumes := list }}
{{- $mounts := list }}
{{- with $storage }}
{{- $card := dict "name" (include "tidegate.card" (list $name .card)) }}
{{- $volumes = append $volumes (dict "name" "card" "configMap" $card) }}
{{- $volumes = append $volumes (dict "name" "artifacts" "emptyDir" (dict "sizeLimit" (.sizeLimit | default "1Gi"))) }}
{{- $mounts = append $mounts (dict "name" "card" "mountPath" "/etc/model" "readOnly" true) }}
{{- $mounts = append $mounts (dict "name" "artifacts" "mountPath" "/var/cache/artifacts") }}
{{- end }}
{{- with .root.Values.writableTmp }}
{{- if .enabled }}
{{- $volumes = append $volumes (dict "name" "tmp" "emptyDir" (dict "sizeLimit" .sizeLimit)) }}
{{- $mounts = append $mounts (dict "name" "tmp" "mountPath" "/tmp") }}
{{- end }}
{{- end }}
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  {{- include "tidegate.metadata" (list $name .component) | nindent 2 }}
    {{- if .private }}
    networking.knative.dev/visibility: cluster-local
    {{- end }}
spec:
  template:
    metadata:
      {{- with $canary }}
      name: {{ .revision }}
      {{- end }}
      labels:
        {{- include "tidegate.labels" (list $name .component) | nindent 8 }}
        {{- if $storage }}
        tidegate.dev/egress-https: "true"
        {{- end }}
      annotations:
        {{- with $function.scaling }}
        autoscaling.knative.dev/target: {{ .target | int | quote }}
        autoscaling.knative.dev/window: {{ .window }}
        autoscaling.knative.dev/min-scale: {{ max .minScale ($.root.Values.warmReplica.enabled | ternary 1 0) | quote }}
        autoscaling.knative.dev/max-scale: {{ .maxScale | int | quote }}
        autoscaling.knative.dev/scale-to-zero-pod-retention-period: {{ .retention }}
        {{- end }}
        serving.knative.dev/progress-deadline: {{ $function.progressDeadline }}
    spec:
      serviceAccountName: {{ $name }}
      {{- if $model }}
      automountServiceAccountToken: false
      {{- end }}
      enableServiceLinks: false
      containerConcurrency: {{ $function.containerConcurrency }}
      timeoutSeconds: {{ $function.timeoutSeconds }}
      containers:
        - name: {{ $name }}
          image: {{ include "tidegate.image" (list .root ($function.image | default $name)) }}
          ports:
            - name: http1
              containerPort: 8080
          {{- if or $model $function.env }}
          env:
            {{- if $model }}
            - name: TIDEGATE_MODEL
              value: {{ include "tidegate.modelFolder" (list $name $function) | quote }}
            - name: TIDEGATE_TIMEOUT_SECONDS
              value: {{ $function.timeoutSeconds | quote }}
            {{- end }}
            {{- with $storage }}
            - name: TIDEGATE_ARTIFACT_URIS
              value: {{ .prefixes | quote }}
            - name: TIDEGATE_CACHE
              value: /var/cache/artifacts
            {{- end }}
            {{- with $function.env }}
            {{- include "tidegate.env" . | nindent 12 }}
            {{- end }}
          {{- end }}
          {{- with $storage }}
          envFrom:
            - secretRef:
                name: {{ .secret | default "artifacts" | quote }}
                optional: true
          {{- end }}
          readinessProbe:
            httpGet:
              path: /v2/health/ready
            successThreshold: 1
          livenessProbe:
            httpGet:
              path: /v2/health/live
          resources:
            {{- toYaml $function.resources | nindent 12 }}
          securityContext:
            {{- include "tidegate.securityContext" . | nindent 12 }}
          volumeMounts:
            {{- toYaml $mounts | nindent 12 }}
      volumes:
        {{- toYaml $volumes | nindent 8 }}
  {{- with $canary }}
  traffic:
    - revisionName: {{ .stable }}
      tag: stable
      percent: {{ sub 100 .percent }}
    - revisionName: {{ .revision }}
      tag: canary
      percent: {{ .percent }}
  {{- end }}
{{- end }}

{{/* The folder of the model's card: a list of the function's name and its values. */}}
{{- define "tidegate.modelFolder" -}}
{{- $name := index . 0 -}}
{{- $function := index . 1 -}}
{{- if ($function.canary).enabled -}}
{{- $function.canary.model -}}
{{- else if ($function.objectStorage).enabled -}}
/etc/model
{{- else -}}
{{- $function.model | default (printf "functions/%s/models/v1" $name) -}}
{{- end -}}
{{- end }}
