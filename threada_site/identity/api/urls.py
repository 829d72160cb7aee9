from django.urls import path

from threada_site.identity.api import change_sets, four_eyes

urlpatterns = [
    path("four-eyes", four_eyes.FourEyes.as_view()),
    path("change-sets", change_sets.ChangeSets.as_view()),
    path("change-sets/<str:change_set_id>", change_sets.ChangeSetDetail.as_view()),
    path("change-sets/<str:change_set_id>/publish", change_sets.PublishChangeSet.as_view()),
    path("change-sets/<str:change_set_id>/reject", change_sets.RejectChangeSet.as_view()),
]
