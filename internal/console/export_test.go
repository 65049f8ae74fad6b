package console

// AddRoutes serves another bundle than the embedded one.
var AddRoutes = addRoutes
