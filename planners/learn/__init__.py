"""From the measured seconds of ended runs to factors on planned seconds, each with its uncertainty."""
