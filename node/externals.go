package node

import (
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/config"
)

func externals(list []config.ExternalID) []collect.ExternalType {
	out := make([]collect.ExternalType, len(list))
	for i := range list {
		out[i] = collect.ExternalType(list[i])
	}
	return out
}
