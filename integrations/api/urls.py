from integrations.api import deliveries, integrations, secrets, tools
from threada_site.api.viewsets import TenantRouter

router = TenantRouter()
router.register("integrations", integrations.IntegrationViewSet)
router.register("integrations/<str:integration_id>/versions", integrations.IntegrationVersionViewSet)
router.register("integrations/<str:integration_id>/tests", integrations.IntegrationTestViewSet)
router.register("integrations/<str:integration_id>/tools", tools.ToolViewSet)
router.register("secrets", secrets.SecretViewSet)
router.register("telemetry/deliveries", deliveries.DeliveryViewSet)

urlpatterns = router.urls
