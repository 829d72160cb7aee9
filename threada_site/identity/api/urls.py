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

urlpatterns = [
    *router.urls,
    path("access-reviews", access_reviews.AccessReviews.as_view()),
    path("access-reviews/<str:access_review_id>", access_reviews.AccessReviewDetail.as_view()),
    path("access-reviews/<str:access_review_id>/entries", access_reviews.AccessReviewEntries.as_view()),
    path("access-review-entries/<str:access_review_entry_id>/attest", access_reviews.AttestEntry.as_view()),
    path("four-eyes", four_eyes.FourEyes.as_view()),
    path("grants", grants.Grants.as_view()),
    path("workflows/<str:workflow_id>/grants/<str:principal>", grants.WorkflowGrants.as_view()),
    path("integrations/<str:integration_id>/grants/<str:principal>", grants.IntegrationGrants.as_view()),
    path(METADATA_PATH.removeprefix("/"), oauth_metadata.ProtectedResource.as_view()),
    path(".well-known/oauth-authorization-server", oauth_metadata.AuthorizationServer.as_view()),
    path("token", token_endpoint.TokenEndpoint.as_view()),
    path("change-sets", change_sets.ChangeSets.as_view()),
    path("change-sets/<str:change_set_id>", change_sets.ChangeSetDetail.as_view()),
    path("change-sets/<str:change_set_id>/publish", change_sets.PublishChangeSet.as_view()),
    path("change-sets/<str:change_set_id>/reject", change_sets.RejectChangeSet.as_view()),
]
