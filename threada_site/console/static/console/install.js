// Register the service worker, which keeps static files only. The console works without it.
if ("serviceWorker" in navigator) {
  window.addEventListener("load", () => {
    navigator.serviceWorker
      .register("/console/service-worker.js", { scope: "/console/", updateViaCache: "none" })
      .catch(() => undefined);
  });
}
