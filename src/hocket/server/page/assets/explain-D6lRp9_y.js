var e=e=>e.join(`
`),t=e=>e.split(`
`).filter(Boolean),n={faster:[`✓`,`good`],none:[`–`,`dull`],slower:[`✗`,`bad`],fails:[`✗`,`bad`],unknown:[`?`,`wait`],impossible:[`✗`,`bad`]};export{e as n,t as r,n as t};