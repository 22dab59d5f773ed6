"""What a sweep has to do with a cluster: resources of its nodes, jobs, engines that outlive a sweep."""
