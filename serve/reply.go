package serve

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune"
)

// serveDecide answers POST /v1/decide.
func (s *Server) serveDecide(w http.ResponseWriter, r *http.Request, c *caller) error {
	return s.serveBody(w, r, c, decodeAsk)
}

// serveRank answers POST /v1/rank.
func (s *Server) serveRank(w http.ResponseWriter, r *http.Request, c *caller) error {
	return s.serveBody(w, r, c, decodeRank)
}

func (s *Server) serveBody(w http.ResponseWriter, r *http.Request, c *caller, decode func([]byte) (*ask, error)) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	a, err := decode(body)
	if err != nil {
		return err
	}
	if a.UserToken != "" && c.user == "" && r.Header.Get(userHeader) == "" {
		*c = s.identify(r, a.UserToken)
	}
	return s.reply(w, r, c, a)
}

// serveRecommend answers GET /v1/recommend/{placement}.
func (s *Server) serveRecommend(w http.ResponseWriter, r *http.Request, c *caller) error {
	name := r.PathValue("placement")
	if engine := s.engine(); !has(engine, name) {
		return &fault{kind: attune.ErrNotFound, path: "placement", message: unknownPlacement(engine, name)}
	}
	a, err := askOf(name, r.URL.RawQuery)
	if err != nil {
		return err
	}
	return s.reply(w, r, c, a)
}

// reply decides and writes the answer.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, c *caller, a *ask) error {
	if err := a.check(s.engine()); err != nil {
		return err
	}
	start := s.o.Mono()
	d, res := s.decide(r, c, a, false)
	h := w.Header()
	h["Cache-Control"] = s.noStore
	switch {
	case res.refused != nil:
		c.notice("events not stored, send them again: " + brief(res.refused))
	case len(a.Events) > 0 && res.ingested == nil:
		c.notice("events not confirmed in time, send them again: their messageId keeps them from counting twice")
	}
	if res.ingested != nil {
		h[tokenHeader] = []string{res.ingested.Token.String()}
		s.setVisitor(w, r, res.ingested.Visitor)
	}
	if len(c.notices) > 0 {
		h[noticeHeader] = []string{strings.Join(c.notices, "; ")}
	}
	buf, _ := s.buffers.Get().(*[]byte)
	b := AppendDecision((*buf)[:0], d)
	if len(a.Events) > 0 {
		b = appendIngested(b[:len(b)-1], res)
		b = append(b, '}')
	}
	b = append(b, '\n')
	s.write(w, http.StatusOK, b)
	*buf = b
	s.buffers.Put(buf)
	s.record(res, s.o.Mono()-start)
	return nil
}

// appendIngested appends what became of the inline events as a member. Without
// "accepted" none of them is known to be stored.
func appendIngested(b []byte, res *results) []byte {
	b = append(b, `,"events":{`...)
	if res.ingested == nil {
		return append(b, `"stored":false}`...)
	}
	b = append(b, `"stored":true,"accepted":`...)
	b = strconv.AppendInt(b, int64(res.ingested.Accepted), 10)
	b = append(b, `,"rejected":[`...)
	for i, x := range res.ingested.Rejected {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRejection(b, x)
	}
	return append(b, "]}"...)
}

func appendRejection(b []byte, x Rejection) []byte {
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(x.Index), 10)
	if x.ID != "" {
		b = append(b, `,"id":`...)
		b = appendString(b, x.ID)
	}
	b = append(b, `,"reason":`...)
	b = appendString(b, x.Reason)
	return append(b, '}')
}

// brief is what a caller may read of an error in one line of a header.
func brief(err error) string {
	switch code, _ := status(err); code {
	case http.StatusInternalServerError:
		return "the server met an error"
	case http.StatusServiceUnavailable:
		return "busy"
	default:
		return strings.Map(func(r rune) rune {
			if r < 0x20 || r > 0x7e {
				return ' '
			}
			return r
		}, attune.Message(err))
	}
}

func (s *Server) setVisitor(w http.ResponseWriter, r *http.Request, token string) {
	if token == "" {
		return
	}
	w.Header().Set(visitorHeader, token)
	secure := s.o.Secure || r.TLS != nil
	site := http.SameSiteLaxMode
	if secure {
		site = http.SameSiteNoneMode // a shop calls from another site
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where the site is; a loopback demo has no TLS
		Name: visitorCookie, Value: token, Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
		HttpOnly: true, Secure: secure, SameSite: site,
	})
}

// record hands the decision to the log, which keeps it: nobody changes it from
// here on.
func (s *Server) record(res *results, took time.Duration) {
	if s.o.Logger == nil {
		return
	}
	log := res.log
	log.UserID, log.AnonymousID = res.asked.user, res.asked.device
	log.At, log.Micros = s.o.Clock(), took.Microseconds()
	log.Asked, log.Segments, log.Context = res.ask.Placements, res.segments, res.ask.Context
	log.Dedup = res.ask.Dedup
	if !s.o.Logger.Logged(log, res.person) && s.o.Metrics != nil {
		s.o.Metrics.Dropped()
	}
}
