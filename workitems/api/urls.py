from django.urls import path

from workitems.api import actions, batches, changes, delegations, handing_on, items, replays, steps

urlpatterns = [
    path("work-items", items.WorkItems.as_view()),
    path("work-items/<str:work_item_id>", items.WorkItemDetail.as_view()),
    path("work-items/<str:work_item_id>/cancel", items.CancelWorkItem.as_view()),
    path("work-items/<str:work_item_id>/resolve", items.ResolveWorkItem.as_view()),
    path("work-items/<str:work_item_id>/timeline", items.WorkItemTimeline.as_view()),
    path("work-items/<str:work_item_id>/explain", items.ExplainWorkItem.as_view()),
    path("decision-steps", steps.DecisionSteps.as_view()),
    path("decision-steps/batch-votes", batches.BatchVotes.as_view()),
    path("decision-steps/<str:decision_step_id>", steps.DecisionStepDetail.as_view()),
    path("decision-steps/<str:decision_step_id>/votes", steps.DecisionStepVotes.as_view()),
    path("decision-steps/<str:decision_step_id>/changes", changes.ChangeDecisionStep.as_view()),
    path("decision-steps/<str:decision_step_id>/claim", steps.ClaimDecisionStep.as_view()),
    path("decision-steps/<str:decision_step_id>/release", steps.ReleaseDecisionStep.as_view()),
    path("decision-steps/<str:decision_step_id>/reassign", handing_on.ReassignDecisionStep.as_view()),
    path("decision-steps/<str:decision_step_id>/escalate", handing_on.EscalateDecisionStep.as_view()),
    path("delegations", delegations.Delegations.as_view()),
    path("delegations/<str:delegation_id>", delegations.DelegationDetail.as_view()),
    path("delegations/<str:delegation_id>/end", delegations.EndDelegation.as_view()),
    path("actions/execute", actions.ExecuteAction.as_view()),
    path("executions", actions.Executions.as_view()),
    path("executions/replays", replays.ReplayExecutions.as_view()),
    path("executions/<str:execution_id>", actions.ExecutionDetail.as_view()),
    path("executions/<str:execution_id>/cancel", actions.CancelExecution.as_view()),
    path("executions/<str:execution_id>/retry", actions.RetryExecution.as_view()),
    path("executions/<str:execution_id>/reconcile", actions.ReconcileExecution.as_view()),
    path("executions/<str:execution_id>/undo", replays.UndoExecution.as_view()),
]
