// Keeps files below /static/ of one version. Pages and data are never stored: requests for them are left to the browser.
const CACHE = "threada-static-{{ version }}";

self.addEventListener("install", () => self.skipWaiting());

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const isStatic = url.origin === self.location.origin && url.pathname.startsWith("{{ static_url }}");
  if (event.request.method !== "GET" || !isStatic || event.request.headers.has("range")) return;
  event.respondWith(
    caches.open(CACHE).then((cache) =>
      cache.match(event.request).then(
        (kept) =>
          kept ||
          fetch(event.request).then((answer) => {
            if (answer.status === 200 && answer.type === "basic") cache.put(event.request, answer.clone());
            return answer;
          }),
      ),
    ),
  );
});
