//go:build no_flv

package main

func flvPart() part { return part{name: "flv", absent: []string{"flv", "record"}} }
