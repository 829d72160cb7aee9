from django.urls import path

from policies.api import emergencies, overlays, policies, replays, simulations, workflows

urlpatterns = [
    path("workflows", workflows.Workflows.as_view()),
    path("workflows/<str:workflow_id>", workflows.WorkflowDetail.as_view()),
    path("workflows/<str:workflow_id>/versions", workflows.WorkflowVersions.as_view()),
    path("channels", workflows.Channels.as_view()),
    path("channels/<str:channel_id>", workflows.ChannelDetail.as_view()),
    path("policies", policies.Policies.as_view()),
    path("policies/effective", overlays.EffectivePolicies.as_view()),
    path("policies/<str:policy_id>", policies.PolicyDetail.as_view()),
    path("policies/<str:policy_id>/versions", policies.PolicyVersions.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>", policies.PolicyVersionDetail.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/validate", policies.ValidatePolicyVersion.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/publish", policies.PublishPolicyVersion.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/confirm-emergency", emergencies.ConfirmEmergency.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/end-emergency", emergencies.EndEmergency.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/retire", policies.RetirePolicyVersion.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/simulate", simulations.SimulatePolicyVersion.as_view()),
    path("policies/<str:policy_id>/versions/<str:version>/replay", replays.ReplayPolicyVersion.as_view()),
    path("policy-replays", replays.PolicyReplays.as_view()),
    path("policy-replays/<str:policy_replay_id>", replays.PolicyReplayDetail.as_view()),
    path("policy-replays/<str:policy_replay_id>/report", replays.PolicyReplayReport.as_view()),
    path("policy-replays/<str:policy_replay_id>/cancel", replays.CancelPolicyReplay.as_view()),
    path("policy-replays/<str:policy_replay_id>/resume", replays.ResumePolicyReplay.as_view()),
    path("overlays", overlays.Overlays.as_view()),
    path("overlays/<str:overlay_id>", overlays.OverlayDetail.as_view()),
    path("policy-decisions/<str:policy_decision_id>", overlays.PolicyDecisionDetail.as_view()),
]
