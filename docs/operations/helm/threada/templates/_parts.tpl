{{- define "threada.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "threada.labels" -}}
app.kubernetes.io/name: threada
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Labels that select the pods of a process: (list $ "web"). */}}
{{- define "threada.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: threada
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "threada.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- define "threada.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "threada.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What all pods have in common. */}}
{{- define "threada.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "threada.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "threada.container" -}}
image: {{ include "threada.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- include "threada.containerSecurity" . | nindent 2 }}
{{- end }}

{{- define "threada.settings" -}}
- secretRef: {name: {{ .Values.secrets.keys }}}
- configMapRef: {name: {{ include "threada.name" . }}}
{{- end }}

{{- define "threada.platformDatabase" -}}
- name: THREADA_PLATFORM_DATABASE_URL
  valueFrom: {secretKeyRef: {{ toJson .Values.secrets.platformDatabase }}}
{{- end }}

{{- define "threada.files" -}}
- name: files
  persistentVolumeClaim: {claimName: {{ .Values.files.existingClaim | default (printf "%s-files" (include "threada.name" .)) }}}
{{- end }}

{{- define "threada.configMap" -}}
THREADA_PUBLIC_URL: {{ required "publicUrl is required" .Values.publicUrl | quote }}
THREADA_TRUSTED_PROXY: "true"
THREADA_DATA_DIR: /data
THREADA_EXPORT_DIR: /files/exports
THREADA_DELIVERY_DIR: /files/deliveries
THREADA_ATTACHMENT_DIR: /files/attachments
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}
