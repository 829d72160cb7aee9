from policies.api import channels, overlays, policies, policy_versions, replays, shadows, workflows
from threada_site.api.viewsets import TenantRouter

router = TenantRouter()
router.register("workflows", workflows.WorkflowViewSet)
router.register("workflows/<str:workflow_id>/versions", workflows.WorkflowVersionViewSet)
router.register("channels", channels.ChannelViewSet)
router.register("policies", policies.PolicyViewSet)
router.register("policies/<str:policy_id>/versions", policy_versions.PolicyVersionViewSet)
router.register("policy-replays", replays.PolicyReplayViewSet)
router.register("policy-shadows", shadows.PolicyShadowViewSet)
router.register("overlays", overlays.OverlayViewSet)
router.register("policy-decisions", policies.PolicyDecisionViewSet)

urlpatterns = router.urls
