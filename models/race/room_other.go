//go:build !linux

package race

func limitsOfHost() limits { return limits{} }
