from django.urls import path

from threada_site.api.authentication import METADATA_PATH
from threada_site.api.viewsets import TenantRouter
from threada_site.identity import change_operations  # noqa: F401 - registers the operations of change sets
from threada_site.identity.api import (
    access_reviews,
    change_sets,
    four_eyes,
    grants,
    oauth_metadata,
    token_endpoint,
    trusted_issuers,
)
from threada_site.identity.factors import reset  # noqa: F401 - registers the same

router = TenantRouter()
router.register("trusted-issuers", trusted_issuers.TrustedIssuerViewSet)
router.register("access-reviews", access_reviews.AccessReviewViewSet)
router.register("access-review-entries", access_reviews.AccessReviewEntryViewSet)
router.register("grants", grants.GrantViewSet)
router.register("workflows/<str:workflow_id>/grants", grants.WorkflowGrantsViewSet)
router.register("integrations/<str:integration_id>/grants", grants.IntegrationGrantsViewSet)
router.register("change-sets", change_sets.ChangeSetViewSet)

urlpatterns = [
    *router.urls,
    path("four-eyes", four_eyes.FourEyes.as_view()),
    path(METADATA_PATH.removeprefix("/"), oauth_metadata.ProtectedResource.as_view()),
    path(".well-known/oauth-authorization-server", oauth_metadata.AuthorizationServer.as_view()),
    path("token", token_endpoint.TokenEndpoint.as_view()),
]
