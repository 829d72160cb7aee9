from django.urls import path

from threada_site.identity.api import four_eyes

urlpatterns = [path("four-eyes", four_eyes.FourEyes.as_view())]
