from django.urls import path

from threada_site.identity.api import change_sets, four_eyes, grants, trusted_issuers

urlpatterns = [
    path("four-eyes", four_eyes.FourEyes.as_view()),
    path("grants", grants.Grants.as_view()),
    path("workflows/<str:workflow_id>/grants/<str:principal>", grants.WorkflowGrants.as_view()),
    path("integrations/<str:integration_id>/grants/<str:principal>", grants.IntegrationGrants.as_view()),
    path("trusted-issuers", trusted_issuers.TrustedIssuers.as_view()),
    path("trusted-issuers/<str:trusted_issuer_id>", trusted_issuers.TrustedIssuerDetail.as_view()),
    path("change-sets", change_sets.ChangeSets.as_view()),
    path("change-sets/<str:change_set_id>", change_sets.ChangeSetDetail.as_view()),
    path("change-sets/<str:change_set_id>/publish", change_sets.PublishChangeSet.as_view()),
    path("change-sets/<str:change_set_id>/reject", change_sets.RejectChangeSet.as_view()),
]
