// Types of attune.js.

export interface Options {
  /** The API's origin, as "https://attune.example.com"; "" is the page's own. */
  host?: string;
  /** The browser's key. It can write events and read this device's decisions. */
  writeKey: string;
  /** A user token signed by your server; with it decisions see the whole person. */
  userToken?: string;
  /** Consent by category, sent as context.consent.categoryPreferences. */
  consent?: Record<string, boolean>;
}

/** One placement of a decide call. */
export interface Ask {
  id: string;
  limit?: number;
  /** The item the page is about. */
  item?: string;
  /** Items to re-rank, or a cart. */
  items?: string[];
  query?: string;
}

export interface DecideRequest {
  placements: Ask[];
  context?: Record<string, unknown>;
  /** A consistency token; without it the one of the last acknowledged event. */
  after?: string;
  deadline_ms?: number;
  explain?: boolean;
  /** Segment events that count before the decision is made. */
  events?: object[];
}

export interface RankedItem {
  id: string;
  score: number;
  reason?: string;
  attributes?: {
    name?: string;
    category?: string;
    price?: number;
    currency?: string;
    image_url?: string;
    url?: string;
    in_stock?: boolean;
    [name: string]: unknown;
  };
  propensity: number;
}

export interface Answer {
  items: RankedItem[];
  model: string;
  experiment?: string;
  variant?: string;
  /** The step of the fallback chain that answered; "" when none was needed. */
  fallback: string;
  explain?: unknown;
}

export interface Decision {
  decision_id: string;
  profile_version: number;
  /** True when the decision may not reflect `after` yet. */
  stale: boolean;
  placements: Record<string, Answer>;
}

/** What was shown where. */
export interface Shown {
  decision_id: string;
  placement: string;
  product_id: string;
  /** Rank in the placement, from 1. */
  position: number;
}

/** What a page with an analytics library of its own uses. */
export interface Reader {
  /** Asks for placements. Rejects with `status` set when the server refuses. */
  decide(request: DecideRequest): Promise<Decision>;
  /**
   * Calls back at once and whenever the answer changes; returns what ends it.
   * Several placements share one connection: answer is the first one's, and
   * decision.placements has them all.
   */
  subscribe(
    placement: string | string[],
    options: { item?: string; limit?: number } | undefined,
    callback: (answer: Answer, decision: Decision) => void,
  ): () => void;
  /** Reports an impression once element is half visible for one second; returns what ends it. */
  observe(element: Element, shown: Shown): () => void;
  /** Reports a click on what was shown. */
  click(shown: Shown): void;
  anonymousId(): string;
  userId(): string | undefined;
}

export interface Attune extends Reader {
  /** Each returns the messageId of the event it queued. */
  track(event: string, properties?: Record<string, unknown>): string;
  page(name?: string, properties?: Record<string, unknown>): string;
  identify(userId: string, traits?: Record<string, unknown>, userToken?: string): string;
  /** Logs out: a new anonymous id, no user, no tokens. */
  reset(): void;
  /** Resolves when all that is queued was acknowledged, or has to wait for a retry. */
  flush(): Promise<void>;
}

export function createAttune(options: Options): Attune;

/** Waits for analytics.js or RudderStack on the page, then reads their ids. */
export function plug(options: Options): Promise<Reader>;
