from django.urls import path

from tests.benchmarks.bare.views import BareItems

urlpatterns = [path("items", BareItems.as_view())]
