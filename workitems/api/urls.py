from django.urls import path

from policies.api import sources
from threada_site.api.document_viewsets import document_viewset
from threada_site.api.viewsets import TenantRouter
from workitems.api import (
    actions,
    attachments,
    batch_intake,
    callbacks,
    comments,
    configuration,
    delegations,
    document_schemas,
    executions,
    freezes,
    identity_providers,
    items,
    notifications,
    packs,
    questions,
    steps,
)
from workitems.api.administration import credentials, kinds, legal_holds, principals, proofs, tenant_deletion
from workitems.api.permits import views as permits

router = TenantRouter()
router.register("work-items/batch", batch_intake.WorkItemBatchViewSet)
router.register("work-items", items.WorkItemViewSet)
router.register("work-items/<str:work_item_id>/comments", comments.CommentViewSet)
router.register("work-items/<str:work_item_id>/questions", questions.QuestionViewSet)
router.register("attachments", attachments.AttachmentViewSet)
router.register("actions", actions.ActionViewSet)
router.register("executions", executions.ExecutionViewSet)
router.register("decision-steps", steps.DecisionStepViewSet)
router.register("freezes", freezes.FreezeViewSet)
router.register("permits", permits.PermitViewSet)
router.register("delegations", delegations.DelegationViewSet)
router.register("packs", packs.PackViewSet)
router.register("packs/<str:pack_id>/versions", packs.PackVersionViewSet)
router.register("configuration", configuration.ConfigurationViewSet)
router.register("identity-providers", identity_providers.IdentityProviderViewSet)
router.register("roles", document_viewset(kinds.ROLES))
router.register("groups", document_viewset(kinds.GROUPS))
router.register("lists", document_viewset(kinds.LISTS, source=sources.source))
router.register("retention", document_viewset(kinds.RETENTION_RULES))
router.register("principals", principals.PrincipalViewSet)
router.register("credentials", credentials.CredentialViewSet)
router.register("legal-holds", legal_holds.LegalHoldViewSet)
router.register("retention-runs", legal_holds.RetentionRunViewSet)
router.register("proofs", proofs.ProofViewSet)

urlpatterns = [
    *router.urls,
    path("callbacks/<str:callback_id>", callbacks.Callback.as_view()),
    path("me/notification-preferences", notifications.NotificationPreferences.as_view()),
    path("schemas/<str:kind>.json", document_schemas.DocumentSchema.as_view()),
    path("tenant-deletion", tenant_deletion.TenantDeletionView.as_view()),
    path("tenant-deletion/withdraw", tenant_deletion.WithdrawTenantDeletion.as_view()),
]
