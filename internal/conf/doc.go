// Package conf is the configuration: the value types with units in their
// text, and the decoder that lays a file, the environment and the command
// line over the default values of all sections.
//
// A section is a struct. Its keys are the `yaml` tags of its fields, what they
// mean is in their `doc` tags, and its defaults are the value it is declared
// with:
//
//	type Config struct {
//		Listen string        `yaml:"listen" doc:"Address to listen on."`
//		MaxLag conf.Duration `yaml:"max_lag" doc:"A viewer further behind is moved on."`
//	}
//
// Fields may be bool, any integer, float or string type, structs, slices, maps
// with string keys, and everything that implements [encoding.TextUnmarshaler]
// and [encoding.TextMarshaler]. All mistakes are reported at once, each with
// its place.
package conf
