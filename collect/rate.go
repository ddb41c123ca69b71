package collect

import (
	"math"
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// rates are the rate limiters of the sources, one each. There are as many as
// sources that were ever configured, so it needs no bound.
type rates struct {
	mu   sync.RWMutex
	byID map[string]*rate.Limiter
}

// allow takes n events from the source's allowance, or refuses the request
// with 429 and the time after which it is there.
func (rs *rates) allow(c *Collector, who *caller, n int) error {
	limit := who.source.Rate
	if limit <= 0 {
		limit = c.o.Limits.Rate
	}
	if limit <= 0 || who.server && who.source.ID == ServerSource {
		return nil
	}
	burst := c.o.Limits.Burst
	if burst <= 0 {
		burst = max(int(limit), 1)
	}
	l := rs.limiter(who.source.ID, limit, burst)
	now := c.o.Now().Time()
	// A batch larger than the burst would never be let in; it takes all of it.
	res := l.ReserveN(now, min(n, burst))
	wait := res.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	res.CancelAt(now)
	return &refusal{
		status: http.StatusTooManyRequests,
		text:   "source " + who.source.ID + " sends more than its rate; try again later",
		after:  int(math.Ceil(min(wait.Seconds(), 3600))),
	}
}

// limiter returns the source's limiter, with the limits of now.
func (rs *rates) limiter(id string, limit float64, burst int) *rate.Limiter {
	rs.mu.RLock()
	l := rs.byID[id]
	rs.mu.RUnlock()
	if l != nil && float64(l.Limit()) == limit && l.Burst() == burst {
		return l
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.byID == nil {
		rs.byID = map[string]*rate.Limiter{}
	}
	if l = rs.byID[id]; l == nil || float64(l.Limit()) != limit || l.Burst() != burst {
		l = rate.NewLimiter(rate.Limit(limit), burst)
		rs.byID[id] = l
	}
	return l
}
