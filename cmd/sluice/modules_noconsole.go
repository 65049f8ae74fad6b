//go:build no_console

package main

func consolePart() part { return part{name: "console", absent: []string{"console"}} }
