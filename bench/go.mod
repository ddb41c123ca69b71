module github.com/attune-io/attune/bench

go 1.26.0

replace github.com/attune-io/attune => ../
