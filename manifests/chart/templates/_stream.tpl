{{/* A stream worker's environment merged over that of all workers, as JSON: a list of the root and the stream. */}}
{{- define "tidegate.streamEnv" -}}
{{- mergeOverwrite (deepCopy (index . 0).Values.stream.env) ((index . 1).env | default dict) | toJson -}}
{{- end }}

{{/* The variables of SASL over TLS of a stream worker: the root. */}}
{{- define "tidegate.saslEnv" -}}
- name: TIDEGATE_KAFKA_SECURITY_PROTOCOL
  value: SASL_SSL
- name: TIDEGATE_KAFKA_SASL_MECHANISM
  value: {{ $.Values.kafkaSaslTls.mechanism }}
- name: TIDEGATE_KAFKA_CA_FILE
  value: /etc/kafka/ca.crt
- name: TIDEGATE_KAFKA_PASSWORD_FILE
  value: /etc/kafka/password
- name: TIDEGATE_KAFKA_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.kafkaSaslTls.secret | quote }}
      key: user
{{- end }}

{{/* The port and the probes of a stream worker. */}}
{{- define "tidegate.streamProbes" -}}
ports:
  - name: health
    containerPort: 8080
# The worker waits up to a minute for K_SINK before it listens.
startupProbe:
  httpGet:
    path: /health/liveness
    port: health
  periodSeconds: 2
  failureThreshold: 60
# A stalled worker ends by itself; this is for one that cannot.
livenessProbe:
  httpGet:
    path: /health/liveness
    port: health
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /health/readiness
    port: health
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}
