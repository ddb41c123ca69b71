package recommend

// prices settles the range of prices for this page.
func (s *scratch) prices() {
	r := &s.plan.Price
	if *r == (Price{}) {
		return
	}
	s.low, s.high = r.Min, r.Max
	if r.Relative {
		if s.current < 0 || s.view.Price(s.current) == 0 {
			return
		}
		price := s.view.Price(s.current)
		s.low, s.high = r.Min*price, r.Max*price
	}
	s.priced, s.extra = true, true
}

// unpriced reports whether n is out of the range; what has no price is.
func (s *scratch) unpriced(n int32) bool {
	price := s.view.Price(n)
	return price == 0 && s.low > 0 || price < s.low || s.high > 0 && (price > s.high || price == 0 && s.view.Attr(n, "price") == nil)
}

// barred returns why n may not be shown in this answer, beside what skip says.
func (s *scratch) barred(n int32) int32 {
	if s.priced && s.unpriced(n) {
		return byPrice
	}
	if s.q.Narrow != nil && !s.within(n) {
		return byOptions
	}
	return kept
}
