package identity

// Ownership says whose the newest stretch of a device's history is. The zero
// Ownership is that of a device on which nobody was ever named.
type Ownership struct {
	// Owner is the userId whose stretch this is; "" when it is unclaimed.
	Owner string
	// Prev is, of an unclaimed stretch, the owner of the one before: the only
	// user who can still take it. "" when there is none: then the first can.
	Prev string
}

// Step says what an event does to a device's newest stretch.
type Step uint8

// The steps.
const (
	// Stay: the event belongs to the newest stretch.
	Stay Step = iota
	// Take: the event belongs to the newest stretch, and claims all of it.
	Take
	// Close: the newest stretch ends and stays its owner's (nobody's when it
	// is unclaimed); the event begins a new, empty one.
	Close
)

// Next returns the ownership of a device's newest stretch after an event that
// names userID ("" when it names nobody), and the step that leads there.
//
// What happened before any userId belongs to the first one. What happens
// without a userId after somebody was there belongs to nobody yet: the same
// user takes it by coming back, another one does not get it. So a shared
// device shows nobody what another one did, and a log-out loses nothing.
func (o Ownership) Next(userID string) (Ownership, Step) {
	switch {
	case userID == o.Owner:
		return o, Stay
	case userID == "":
		return Ownership{Prev: o.Owner}, Close
	case o.Owner == "" && (o.Prev == "" || o.Prev == userID):
		return Ownership{Owner: userID}, Take
	default:
		return Ownership{Owner: userID}, Close
	}
}
