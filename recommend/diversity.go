package recommend

// worth is what the greedy choice at a position goes by: the score, or with
// diversity the marginal relevance.
func (s *scratch) worth(i int, best float32) float32 {
	score := s.list[s.slots[i].at].score
	m := s.plan.merch
	if m.diversity == nil || best <= 0 {
		return score
	}
	lambda := m.lambda
	return lambda*score/best - (1-lambda)*s.slots[i].alike
}

// likens notes that item n is shown: who is like it is worth less from now on.
func (s *scratch) likens(n int32) {
	d := s.plan.merch.diversity
	if d == nil {
		return
	}
	s.key = s.key[:0]
	for _, attribute := range d.By {
		s.key = append(s.key, s.valueKey(n, attribute))
	}
	for i := range s.slots {
		one := &s.slots[i]
		if one.used {
			continue
		}
		same := 0
		for j, key := range s.slotKeys(i)[len(s.plan.caps):] {
			if key != 0 && key == s.key[j] {
				same++
			}
		}
		one.alike = max(one.alike, float32(same)/float32(len(d.By)))
	}
}
