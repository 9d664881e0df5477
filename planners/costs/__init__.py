"""Who used the money of runs and for what: splits charges into parts that add up exactly; invoices; FOCUS rows."""
