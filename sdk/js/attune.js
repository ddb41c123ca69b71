// Attune browser SDK; see README.md. Events stay stored until acknowledged; the
// server counts a messageId once, so resending is harmless.
const version = "0.1.0", PREFIX = "attune:";
const MAX_QUEUE = 500, MAX_BATCH = 100, MAX_BYTES = 60000; // a beacon may carry 64 KB
const now = () => new Date().toISOString();

// Plain http has no randomUUID; a blob's address ends in one.
const uuid = () => crypto.randomUUID?.() ?? URL.createObjectURL(new Blob()).slice(-36);

const memory = {};
const store = {
  get(k) { try { return JSON.parse(localStorage.getItem(PREFIX + k)) ?? memory[k]; } catch { return memory[k]; } },
  set(k, v) {
    delete memory[k];
    try { v ? localStorage.setItem(PREFIX + k, JSON.stringify(v)) : localStorage.removeItem(PREFIX + k); } catch { memory[k] = v; }
  },
};

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const retryAfter = (r) => {
  const v = r?.headers.get("Retry-After");
  return v ? Math.max(0, isNaN(v) ? Date.parse(v) - Date.now() : v * 1000) || 0 : 0;
};

export function createAttune({ host = "", writeKey, userToken, consent, source }) {
  const at = (path, query) => host.replace(/\/$/, "") + path + "?" +
    new URLSearchParams(Object.entries({ writeKey, ...query }).filter(([, v]) => v));
  const key = writeKey + ":", mine = "q:" + key + uuid();
  const streams = new Set(), seen = new WeakMap();
  let queue = [], sending, timer, failures = 0, resume = 0, visitor, after;

  // Our own ids, or those of the page's analytics library.
  const me = () => {
    if (source) return { anonymousId: source.anonymousId(), userId: source.userId() };
    let anonymousId = store.get(key + "anon");
    if (!anonymousId) store.set(key + "anon", (anonymousId = uuid()));
    return { anonymousId, userId: store.get(key + "user") };
  };
  const ids = () => {
    const { anonymousId, userId } = me();
    return { anonymous_id: anonymousId, user_id: userId };
  };

  const here = () => ({ url: location.href, path: location.pathname, search: location.search, title: document.title, referrer: document.referrer });
  const campaign = () => {
    const out = {};
    new URLSearchParams(location.search).forEach((v, k) => { if (k.startsWith("utm_")) out[k === "utm_campaign" ? "name" : k.slice(4)] = v; });
    return Object.keys(out).length ? out : undefined;
  };
  const context = () => ({
    library: { name: "attune.js", version }, page: here(), locale: navigator.language, userAgent: navigator.userAgent,
    campaign: campaign(), consent: consent && { categoryPreferences: consent },
  });

  const save = () => store.set(mine, queue.length ? queue : null);
  const add = (type, fields) => {
    const e = { type, messageId: uuid(), ...me(), timestamp: now(), context: context(), ...fields };
    queue.push(e);
    queue.splice(0, queue.length - MAX_QUEUE);
    save();
    timer ??= setTimeout(flush, 5);
    prove(); // only a young device gets a token
    return e.messageId;
  };

  const head = (list) => {
    let n = 0, size = 0;
    while (n < list.length && n < MAX_BATCH && ((size += new Blob([JSON.stringify(list[n])]).size) < MAX_BYTES || !n)) n++;
    return list.slice(0, n);
  };
  const body = (batch) => JSON.stringify({ batch, sentAt: now(), writeKey, visitor_token: store.get(key + "visitor")?.token, user_token: userToken });
  const done = (batch) => { queue = queue.filter((e) => !batch.includes(e)); save(); };

  // One request at a time keeps the order. True: go on.
  const send = async (batch) => {
    let r;
    try {
      r = await fetch(at("/v1/b"), { method: "POST", body: body(batch) });
    } catch {}
    if (r && r.status < 500 && r.status !== 429 && r.status !== 408) {
      if (r.status === 413 && batch.length > 1) return send(batch.slice(0, batch.length >> 1));
      after = (r.ok && r.headers.get("X-Attune-Token")) || after;
      failures = 0;
      done(batch); // 4xx: the same bytes would be refused again
      return true;
    }
    const pause = retryAfter(r) || Math.min(60000, 500 * 2 ** failures++) * (0.5 + Math.random() / 2);
    resume = Date.now() + pause;
    clearTimeout(timer);
    timer = setTimeout(flush, pause);
  };
  const flush = () => {
    if (Date.now() < resume - 5) return Promise.resolve();
    clearTimeout(timer);
    timer = undefined;
    return (sending ??= (async () => {
      while (queue.length && (await send(head(queue))));
    })().finally(() => (sending = undefined)));
  };

  // The token that proves this device.
  const prove = () => {
    const id = me().anonymousId, kept = store.get(key + "visitor");
    if (kept?.id === id) return Promise.resolve(kept.token);
    if (visitor?.id !== id) {
      const asked = (visitor = { id });
      asked.token = fetch(at("/v1/visitor"), { method: "POST", body: JSON.stringify({ anonymous_id: id }) })
        .then(async (r) => {
          const token = r.ok && (await r.json()).visitor_token;
          if (me().anonymousId !== id) return prove();
          if (token) store.set(key + "visitor", { id, token });
          if (r.status !== 409 || source) return token;
          store.set(key + "anon"); // its token is lost: be a new device
          return prove();
        })
        .catch(() => {})
        .finally(() => { if (visitor === asked) visitor = undefined; });
    }
    return visitor.token;
  };

  const decide = async (request, again) => {
    const [token] = await Promise.all([prove(), flush()]);
    const r = await fetch(at("/v1/decide"), {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token ? { "X-Attune-Visitor": token } : {}), ...(userToken ? { "X-Attune-User": userToken } : {}) },
      body: JSON.stringify({ ...ids(), after, ...request, context: { ...context(), ...request.context } }),
    });
    if (token && !again && (r.status === 401 || r.status === 403 || /visitor token ignored/.test(r.headers.get("X-Attune-Notice")))) {
      store.set(key + "visitor");
      return decide(request, true);
    }
    if (!r.ok) throw Object.assign(new Error("attune: decide: " + r.status + " " + (await r.text())), { status: r.status });
    after = r.headers.get("X-Attune-Token") || after;
    return r.json();
  };

  const subscribe = (placement, options, callback) => {
    const places = [].concat(placement);
    let stream, closed, tries = 0, last = "", round = 0;
    const open = async () => {
      const turn = ++round;
      stream?.close();
      const token = await prove();
      if (closed || turn !== round) return;
      stream = new EventSource(at("/v1/stream", {
        ...ids(), visitor: token, user_token: userToken, last_event_id: last, ...options,
      }) + places.map((p) => "&placement=" + encodeURIComponent(p)).join(""));
      const hear = (e) => {
        tries = 0;
        last = e.lastEventId;
        const d = JSON.parse(e.data);
        callback(d.placements[places[0]], d);
      };
      stream.onmessage = hear;
      stream.addEventListener("decision", hear);
      // A broken connection mends itself, a refused one does not.
      stream.onerror = async () => {
        if (stream.readyState !== 2) return;
        await wait(Math.min(60000, 1000 * 2 ** tries++) * (0.5 + Math.random() / 2));
        if (!closed && turn === round) { if (tries > 1) store.set(key + "visitor"); open(); }
      };
    };
    open();
    streams.add(open);
    return () => { closed = true; streams.delete(open); stream?.close(); };
  };
  const reopen = () => streams.forEach((open) => open());

  // Half visible for one second, once an element.
  const report = (name, p) => (source ? source.track(name, p) : add("track", { event: name, properties: p }));
  let impressions = {}, telling;
  const tell = () => {
    clearTimeout(telling);
    telling = undefined;
    for (const p of Object.values(impressions)) report("Recommendation Viewed", p);
    impressions = {};
  };
  const eye = globalThis.IntersectionObserver && new IntersectionObserver((entries) => entries.forEach(({ target, intersectionRatio }) => {
    const s = seen.get(target);
    if (!s) return;
    clearTimeout(s.timer);
    if (intersectionRatio < 0.5) return;
    const look = () => {
      if (document.hidden) return void (s.timer = setTimeout(look, 1000));
      unobserve(target);
      const { decision_id, placement, product_id, position } = s.info;
      (impressions[decision_id + " " + placement] ??= { decision_id, placement, products: [] }).products.push({ product_id, position });
      telling ??= setTimeout(tell, 200);
    };
    s.timer = setTimeout(look, 1000);
  }), { threshold: 0.5 });
  const unobserve = (el) => { clearTimeout(seen.get(el)?.timer); seen.delete(el); eye?.unobserve(el); };
  const observe = (el, info) => { unobserve(el); seen.set(el, { info }); eye?.observe(el); return () => unobserve(el); };

  // Nobody hears whether a beacon arrived, so its events stay stored.
  globalThis.addEventListener?.("pagehide", () => {
    tell();
    const batch = head(queue);
    if (batch.length) navigator.sendBeacon?.(at("/v1/b"), body(batch));
  });
  globalThis.addEventListener?.("online", () => { resume = 0; flush(); });
  try {
    for (const k of Object.keys(localStorage)) {
      if (!k.startsWith(PREFIX + "q:" + key)) continue;
      queue.push(...JSON.parse(localStorage.getItem(k)));
      localStorage.removeItem(k);
    }
    queue.splice(0, queue.length - MAX_QUEUE);
    save();
    if (queue.length) flush();
  } catch {}

  return {
    track: (event, properties = {}) => add("track", { event, properties }),
    page: (name, properties = {}) => add("page", { name, properties: { ...here(), ...properties } }),
    identify(userId, traits = {}, token) {
      if (token || me().userId !== userId) userToken = token;
      store.set(key + "user", userId);
      const id = add("identify", { traits });
      reopen();
      return id;
    },
    reset() {
      for (const k of ["anon", "user", "visitor"]) store.set(key + k);
      userToken = after = undefined;
      reopen();
    },
    decide, subscribe, observe, flush,
    click: (p) => report("Recommendation Clicked", p),
    anonymousId: () => me().anonymousId,
    userId: () => me().userId,
  };
}

// For pages whose analytics library already sends its events to Attune.
export async function plug(options) {
  let source;
  for (;;) {
    const r = globalThis.rudderanalytics, s = globalThis.analytics, u = s?.user?.();
    if (r?.getAnonymousId?.()) source = { anonymousId: () => r.getAnonymousId(), userId: () => r.getUserId() || undefined, track: (e, p) => r.track(e, p) };
    else if (u?.anonymousId?.()) source = { anonymousId: () => s.user().anonymousId(), userId: () => s.user().id() || undefined, track: (e, p) => s.track(e, p) };
    if (source) break;
    await wait(50);
  }
  const { decide, subscribe, observe, click, anonymousId, userId } = createAttune({ ...options, source });
  return { decide, subscribe, observe, click, anonymousId, userId };
}
